package haproxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What HAProxy 2.6.12 said.
const (
	info  = "Name: HAProxy\nVersion: 2.6.12\nPid: 4711\nUptime: 0d 0h01m03s\nUptime_sec: 63\n"
	state = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
4 web 1 a_12345678 127.0.0.1 2 0 1 1 12 1 0 2 6 0 0 0 - 19901 - 0 0 - - 0
4 web 2 b_12345678 fd00::1 2 8 1 1 3 1 0 2 6 0 0 0 - 80 - 0 0 - - 0
4 web 3 sorry /run/sorry.sock 0 5 1 1 0 1 0 2 6 0 0 0 - 0 - 0 0 - - 0`
	stat = `# pxname,svname,qcur,qmax,scur,smax,slim,stot,last_chk,
web,a_12345678,2,0,3,0,,0,"L4OK, ""fine""",
web,b_12345678,0,0,1,0,,0,,
web,sorry,0,0,0,0,,0,,
`
)

func look(info, state, stat string) (Seen, error) {
	seen, id, err := parse(info, state)
	if err == nil && id != "" {
		err = seen.addSessions(stat)
	}
	return seen, err
}

func TestWhatHAProxySaysIsRead(t *testing.T) {
	got, err := look(info, state, stat)
	if err != nil {
		t.Fatal(err)
	}
	want := Seen{Pid: 4711, Uptime: 63 * time.Second, Servers: map[string]Server{
		"a_12345678": {Address: netip.MustParseAddrPort("127.0.0.1:19901"), State: Ready, Sessions: 5, Since: 12 * time.Second},
		"b_12345678": {Address: netip.MustParseAddrPort("[fd00::1]:80"), State: Drain, Sessions: 1, Since: 3 * time.Second},
		"sorry":      {State: Maint},
	}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if empty, err := look(info, strings.Join(strings.Split(state, "\n")[:2], "\n"), ""); err != nil || len(empty.Servers) > 0 {
		t.Errorf("a backend without servers = %+v, %v", empty, err)
	}
}

func TestWhatDoesNotFitIsAnErrorAndNeverAnEmptyBackend(t *testing.T) {
	for sentence, c := range map[string][3]string{
		"no pid":                               {"Name: HAProxy\n", state, stat},
		"a server that only one of both lists": {info, state, strings.Replace(stat, "web,sorry,0,0,0,0,,0,,\n", "", 1)},
		"a server that came in between":        {info, state, stat + "web,c_12345678,0,0,0,0,,0,,\n"},
		"another format of the states":         {info, strings.Replace(state, "1\n", "2\n", 1), stat},
		"an empty answer":                      {info, "", stat},
		"a line that was cut off":              {info, state[:len(state)-20], stat},
		"no sessions":                          {info, state, strings.Replace(stat, ",scur,", ",other,", 1)},
		"a count that is none":                 {info, state, strings.Replace(stat, "b_12345678,0,0,1", "b_12345678,0,0,x", 1)},
	} {
		if got, err := look(c[0], c[1], c[2]); err == nil {
			t.Errorf("%s: it is read as %+v, want an error", sentence, got)
		}
	}
}

func TestAddressesOfTheRuntimeAPI(t *testing.T) {
	for socket, good := range map[string]bool{
		"/run/haproxy/admin.sock": true, "unix:/run/haproxy/admin.sock": true, "./admin.sock": true, "127.0.0.1:9999": true, "tcp:127.0.0.1:9999": true, "[::1]:9999": true,
		"": false, "10.0.0.1:9999": false, "0.0.0.0:9999": false, "localhost": false, "127.0.0.1": false,
	} {
		if _, err := New(socket, "web"); (err == nil) != good {
			t.Errorf("New(%q) = %v, want good %v", socket, err, good)
		}
	}
	for _, backend := range []string{"", "web; shutdown", "a b", "a/b"} {
		if _, err := New("/s", backend); err == nil {
			t.Errorf("a backend %q is taken", backend)
		}
	}
}

func TestANameThatIsACommandIsNotSent(t *testing.T) {
	c, err := New("/nowhere", "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a; del server web/b", "a\nb", "a b", "ä"} {
		if err := c.Drain(t.Context(), name); err == nil || !strings.Contains(err.Error(), "names are made of") {
			t.Errorf("Drain(%q) = %v", name, err)
		}
	}
	if err := c.Drain(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "reaching HAProxy") {
		t.Errorf("a HAProxy that is away: %v", err)
	}
}
