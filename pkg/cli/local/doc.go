// Package local is `periplus local`: a whole fleet on this machine. The work is in pkg/localfleet; here are its flags
// and what is printed.
package local
