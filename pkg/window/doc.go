// Package window says whether a moment lies within time windows, and when that changes. Pure: no clock, no I/O. It imports the API types, whose
// validation says what a schedule and a zone are, and robfig/cron, which knows the days that a schedule names.
//
// A schedule is read off the clock on the wall of its zone; a window's length is counted in time that passes. Where the clock is put forward, an
// opening that the jump leaves out happens at the jump. Where it is put back, an opening that the clock shows twice happens the first time only.
package window
