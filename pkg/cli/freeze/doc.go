// Package freeze is `periplus freeze`, `unfreeze` and `freezes`: it shows which stages a Freeze stops or lets go on before it makes or lifts one, and
// lists those there are. What a Freeze stops is decided by the stages themselves; the words here follow the same rule, screen.ReachOf.
package freeze
