SELECT es_head_position();
