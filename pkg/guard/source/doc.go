// Package source is where guards get numbers from: what every source promises, and the book of those there are. Each kind of source has a package of its own below it.
//
// A source is asked by many goroutines at once, and keeps nothing of a question. It never prints a credential, in an error or anywhere else.
package source
