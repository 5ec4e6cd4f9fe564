// Package freeze says which Freezes stop a move. Pure: no clock, no I/O. It imports the API types.
package freeze
