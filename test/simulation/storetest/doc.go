// Package storetest is a suite of sentences about an API server that our controllers, and the simulation, rely on. It runs against the store
// in memory with every go test, and against a real API server with its garbage collector in test/integration/store.
package storetest
