// Package follow shows a run as it goes: on a screen that is drawn anew, as lines, or as documents, until it is over.
package follow
