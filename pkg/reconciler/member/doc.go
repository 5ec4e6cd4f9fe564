// Package member keeps the status of Members: whether they answer, since when not and why, their version, and the time of the last
// contact. What it writes is what pkg/fleet of the leading replica found out; it contacts no member itself.
//
// It may import pkg/apis, pkg/fleet, pkg/loop and the generated clients.
package member
