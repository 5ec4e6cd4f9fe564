package terminal

import "testing"

func TestALocaleSaysWhetherATerminalKnowsUnicode(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string
		goos string
		want bool
	}{
		{"LANG with UTF-8", map[string]string{"LANG": "en_US.UTF-8"}, "linux", true},
		{"LC_ALL is first", map[string]string{"LC_ALL": "C", "LANG": "en_US.UTF-8"}, "linux", false},
		{"C.utf8", map[string]string{"LC_CTYPE": "C.utf8"}, "linux", true},
		{"nothing on Linux is the C locale", nil, "linux", false},
		{"nothing on a Mac", nil, "darwin", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := knowsUnicode(func(n string) string { return tc.env[n] }, tc.goos); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
