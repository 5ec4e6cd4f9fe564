// Package terminal is where commands write and ask: what a writer can show, and whether a person is there to answer. It knows the screen's
// looks and nothing of runs.
package terminal
