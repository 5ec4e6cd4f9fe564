// Package screen says what a run looks like to a person: Build makes a Model out of a run's objects and the time, Render draws the
// Model as text, Changes tells two Models apart in words.
//
// Everything here is pure: no clients, no clock, no terminal. It may import the API types of Periplus and Tekton, the rule in
// pkg/release for what interventions come to, and nothing of the command line. Its facts come from the objects alone: what a stage says in its CustomRun's status.extraFields, what Tekton says in the
// PipelineRun, and the Release record.
//
// Texts in objects were written by others (pods' reasons, people's answers): Render takes control characters out of them, so that they
// cannot steer a terminal. The Model keeps them as they are.
package screen
