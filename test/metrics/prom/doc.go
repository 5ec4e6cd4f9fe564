// Package prom runs a real Prometheus for tests and benchmarks: it finds or fetches the program, starts and stops servers that listen on loopback only,
// and puts a proxy in front of them that is slow, refuses or falsifies as a story needs it.
//
// It imports nothing of the product but where programs are cached. What it knows of Prometheus is from its documentation: the HTTP API, the
// configuration file, and the web configuration file.
package prom
