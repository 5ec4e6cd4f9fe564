// Package workload is how stages see and move workloads in members: one adapter per workload kind behind one small interface. Observing reads
// watch caches only; moving is one write by resourceVersion, so that a decision made on stale data conflicts instead of landing.
package workload
