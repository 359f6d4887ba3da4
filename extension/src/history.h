// The history of positions: that none is ever given to two events, over crashes, failovers and restores.
//
// A reader may have seen events that a crash, a promotion or a restore then takes back: with synchronous_commit = off,
// from a primary that was ahead of its standby, or after the moment of the backup. Handing their positions out again
// would make that reader skip the new events. So where the log cannot know that its history simply went on, it leaps
// far beyond any position that can have been seen.
//
// It knows by es_log_marker, an unlogged table of one row, written by CREATE EXTENSION. Such a table survives a clean
// restart, and is empty after a crash, a promotion, a point-in-time recovery, and in a copy made by pg_basebackup;
// dumps leave it out. And by es_installations, which has a row for each CREATE EXTENSION that the log's data has gone
// through, because dumps take its rows along: more than one means restored.
#pragma once

#include "log_tables.h"

namespace tidemark {

// To be called before each allocation. Each session checks a log once; leaps if the history broke.
void ensure_history(const LogTables& tables, Relation head, Relation events);

// Leaps in any case and returns the new last position. Makes a new head where the old one is gone.
int64 leap(const LogTables& tables, Relation head, Relation events);

// Writes the marker, if it is not there.
void write_marker(const LogTables& tables);

// The highest position of an event that the active snapshot sees; 0 where there is none.
int64 highest_event(Relation events);

}  // namespace tidemark
