// The history of positions: that none is ever given to two events, over crashes, failovers and restores.
//
// A reader may have seen events that a crash, a promotion or a restore then takes back: with synchronous_commit = off,
// from a primary that was ahead of its standby, or after the moment of the backup. Handing their positions out again
// would make that reader skip the new events. So where the log cannot know that its history simply went on, it leaps
// far beyond any position that can have been seen.
//
// It knows by es_log_marker, an unlogged table of one row. Such a table survives a clean restart, and is empty after a
// crash, a promotion, a point-in-time recovery, and in a copy made by pg_basebackup; dumps leave it out. And by
// es_installations, which has a row for each CREATE EXTENSION that the log's data has gone through, because dumps take
// its rows along: more than one means restored.
#pragma once

#include "log_tables.h"

namespace tidemark {

// To be called before each allocation. Each session checks a log once; leaps if the history broke.
void ensure_history(const LogTables& tables, Relation head, Relation events);

// Leaps in any case and returns the new last position.
int64 leap(const LogTables& tables, Relation head, Relation events);

// The highest position of an event that the snapshot sees; 0 where there is none.
int64 highest_event(Relation events, Snapshot snapshot);

// Whether anything has been appended to this log since CREATE EXTENSION; events restored from a dump do not count.
inline bool has_started(TimeLineID timeline_on_head) { return timeline_on_head != 0; }

}  // namespace tidemark
