// Package answer is `periplus confirm` and `periplus reject`: it finds the question that a run waits with, creates the caller's
// Approval, and says whether the stage counted it. Who may answer is decided by the hub and the stage, never here.
package answer
