// Package guard compiles and judges guards: CEL expressions with a rhythm and limits, that let a stage go on, hold it, or fail it.
//
// It is pure. It imports the API types, cel-go and the standard library; it has no clients, watches nothing and reads no clock: what is
// known about a member comes as an Input, what time it is and when the moves were made as a Moment. The same status, moment and input give
// the same judgement, and judging its own result again changes nothing, so a controller may call it as often as events come.
//
// The names that expressions can use, the outcomes and the rhythm are for users and stand in docs/guards.md; a test compiles every
// expression of that page. Costs are cel-go's cost units: its checker estimates them, its interpreter counts them.
package guard
