// Package plan holds the pure planners: how many pods may move, which, and in what order. It imports only the API types: no
// clients, no clock, no I/O, so that controllers, stages and `periplus plan` decide alike.
package plan
