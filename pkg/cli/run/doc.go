// Package run finds a run by name and reads or follows the objects that belong to it. It knows the hub and nothing of how a run is
// shown or answered.
package run
