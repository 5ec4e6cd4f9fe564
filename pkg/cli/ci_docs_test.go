package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ciDocs are what docs/ci.md shows, by file.
func ciDocs(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/examples/ci/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	out := map[string]string{}
	for _, f := range append(files, "../../docs/ci.md") {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = string(raw)
	}
	return out
}

// ofPeriplus are lines that run the command: in a script, in a block of documentation, or within backticks.
var ofPeriplus = regexp.MustCompile("(?m)^\\s*(?:- )?(periplus .*)$|`(periplus [^`]*)`")

func TestEveryCommandLineInTheDocsOfCIIsOneThatTheCommandTakes(t *testing.T) {
	for file, text := range ciDocs(t) {
		found := 0
		for _, line := range ofPeriplus.FindAllStringSubmatch(onOneLine(file, text), -1) {
			found++
			words := shellWords(line[1] + line[2])
			cmd, rest, err := NewRoot("periplus").Find(words[1:])
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %q: %v", file, words, err)
			}
			if cmd.Name() == "start" && len(rest) > 0 && (cmd.Flags().Arg(0) != "productpage" || cmd.Flags().Lookup("param").Value.String() == "[]") {
				t.Errorf("%s: %q starts %v", file, words, cmd.Flags().Args())
			}
		}
		if kinds := filepath.Ext(file) == ".yaml" && strings.Contains(text, "\nkind: "); !kinds && found == 0 {
			t.Errorf("%s: no command line was found", file)
		}
	}
}

// onOneLine joins what the shell, or YAML's folding, would.
func onOneLine(file, text string) string {
	for _, continued := range []string{"\\\\\n", "\\\n"} {
		text = strings.ReplaceAll(text, continued, " ")
	}
	if file == "gitlab-ci.yaml" {
		text = strings.ReplaceAll(text, "\n    --", " --")
	}
	return text
}

// shellWords are the words of one simple command, as far as these docs need it; what stands behind an operator is none of it.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	in, quote := false, rune(0)
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			in, quote = true, r
		case r != ' ':
			in = true
			word.WriteRune(r)
		case in:
			if strings.ContainsAny(word.String(), "|;&") {
				return words
			}
			words = append(words, word.String())
			word.Reset()
			in = false
		}
	}
	return words
}

func TestTheCIExamplesAreWhatTheirCIReads(t *testing.T) {
	docs := ciDocs(t)
	var github struct {
		On   map[string]any `json:"on"`
		Jobs map[string]struct {
			Steps []struct {
				Run string            `json:"run"`
				Env map[string]string `json:"env"`
			} `json:"steps"`
		} `json:"jobs"`
	}
	// YAML 1.1 reads a bare `on` as true; GitHub does not.
	if err := yaml.Unmarshal([]byte(strings.Replace(docs["github-actions.yaml"], "\non:", "\n\"on\":", 1)), &github); err != nil {
		t.Fatal(err)
	}
	if steps := github.Jobs["release"].Steps; github.On["push"] == nil || len(steps) != 1 || steps[0].Env["HUB"] == "" || !strings.Contains(steps[0].Run, "exit \"$code\"") {
		t.Errorf("GitHub Actions: %+v", github)
	}
	var gitlab map[string]struct {
		Script       []string `json:"script"`
		AllowFailure struct {
			ExitCodes []int `json:"exit_codes"`
		} `json:"allow_failure"`
		Retry struct {
			ExitCodes []int `json:"exit_codes"`
		} `json:"retry"`
	}
	if err := yaml.Unmarshal([]byte(docs["gitlab-ci.yaml"]), &gitlab); err != nil {
		t.Fatal(err)
	}
	if job := gitlab["release"]; len(job.Script) != 1 || len(job.AllowFailure.ExitCodes) != 1 || job.AllowFailure.ExitCodes[0] != 5 || len(job.Retry.ExitCodes) != 1 || job.Retry.ExitCodes[0] != 2 {
		t.Errorf("GitLab: %+v", gitlab)
	}
	jenkins := docs["Jenkinsfile"]
	for open, shut := range map[string]string{"{": "}", "(": ")", "[": "]"} {
		if a, b := strings.Count(jenkins, open), strings.Count(jenkins, shut); a != b {
			t.Errorf("the Jenkinsfile has %d of %s and %d of %s", a, open, b, shut)
		}
	}
}

// The table of docs/ci.md has a row for each exit code that `periplus start` tells of.
func TestEveryExitCodeIsInTheTable(t *testing.T) {
	cmd, _, err := NewRoot("periplus").Find([]string{"start"})
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^  (\d+) {2,}\S`).FindAllStringSubmatch(cmd.Long, -1)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(ciDocs(t)["ci.md"], -1)
	if len(codes) < 7 || len(codes) != len(rows) {
		t.Fatalf("the command tells of %d codes, the table of %d", len(codes), len(rows))
	}
	for i := range codes {
		if codes[i][1] != rows[i][1] {
			t.Errorf("code %s stands where the table has %s", codes[i][1], rows[i][1])
		}
	}
}
