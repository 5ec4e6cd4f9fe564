// Package podtemplate tells people how two pod templates differ: in words, and line by line. Pure; it imports inplace alone of ours.
package podtemplate
