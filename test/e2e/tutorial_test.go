//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1alpha1 "github.com/periplus-dev/periplus/pkg/apis/apps/v1alpha1"
	"github.com/periplus-dev/periplus/pkg/apis/stages/v1alpha1"
)

// tutorial is docs/tutorial.md as a reader follows it.
type tutorial struct {
	*port
	shell *shell
	// kill is nil where nothing is killed, else the dice.
	kill  *rand.Rand
	kills int

	lives *lives
	looks []*lookout
	pods  map[string]map[string]string // before the first release, as identities
	third string                       // m3 before the sick version
}

// The page is followed line by line: a line that does not work fails the test, and after each chapter the facts are looked at.
func TestTheTutorialLineByLine(t *testing.T) {
	t.Parallel()
	// Later, among the others, and not beside the one that kills: both are the page's one namespace.
	followTutorial(t, nil)
}

// The same again while the controllers are killed whenever a release moves. Not parallel: other tests' releases would be hit too.
func TestTheTutorialWhileControllersAreKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) // #nosec G115 -- a seed.
	if s := os.Getenv("PERIPLUS_SEED"); s != "" {
		seed = must(strconv.ParseUint(s, 10, 64))(t)
	}
	t.Logf("seed %d: set PERIPLUS_SEED to it to kill at the same times", seed)
	followTutorial(t, rand.New(rand.NewPCG(seed, 11))) // #nosec G404 -- a test's dice.
}

func followTutorial(t *testing.T, kill *rand.Rand) {
	t.Helper()
	tut := &tutorial{port: openPort(t, "shop", []string{"m1", "m2", "m3"}), kill: kill}
	tut.clear()
	t.Cleanup(func() {
		if !t.Failed() {
			tut.clear()
		}
	})
	tut.shell = newShell(t, tut.checks, "FLEET="+tut.fleet.Dir, "NO_COLOR=1")
	checks := []struct {
		chapter string
		// asked is called when a command that waits for the question has ended.
		asked, after func()
	}{
		{"", nil, nil},
		{"What runs", nil, tut.everythingIsOld},
		{"How the team releases", nil, nil},
		{"A good version", func() { tut.sixOfTen("v2") }, tut.goodEverywhere},
		{"A sick version", func() { tut.sixOfTen("v3") }, tut.sickNowhere},
		{"Read on", nil, nil},
	}
	chapters := tut.page("tutorial.md")
	for i, c := range chapters {
		if i >= len(checks) || c.title != checks[i].chapter {
			t.Fatalf("chapter %d is %q, and the test has no checks of it: %+v", i, c.title, checks)
		}
		for _, line := range c.lines {
			t.Logf("$ %s", line.text)
			began := time.Now()
			tut.follow(line)
			t.Logf("  %s", time.Since(began).Round(100*time.Millisecond))
			if strings.Contains(line.text, "--until-held") && checks[i].asked != nil {
				checks[i].asked()
			}
		}
		if checks[i].after != nil {
			checks[i].after()
		}
	}
	if len(chapters) != len(checks) {
		t.Errorf("the page has %d chapters, and the test checks of %d", len(chapters), len(checks))
	}
	for _, l := range tut.looks {
		l.report(tut.port)
	}
	tut.lives.report(tut.port)
	if kill != nil && tut.kills < 12 {
		t.Errorf("%d parts were killed: that is no trial", tut.kills)
	}
}

// clear takes away what the page makes.
func (tut *tutorial) clear() {
	tut.t.Helper()
	for _, c := range append([]string{"hub"}, tut.members...) {
		tut.kubectl(c, "", "delete", "namespace", tut.ns, "--ignore-not-found", "--timeout=80s")
		if c != "hub" {
			tut.kubectl(c, "", "delete", "sidecarset", "shop-proxy", "--ignore-not-found", "--timeout=80s")
		}
	}
	tut.kubectl("hub", "", "delete", "metricsource", "prometheus", "--ignore-not-found")
}

// follow types a line. While it watches a release controllers are killed, where the test is about that.
func (tut *tutorial) follow(line typed) {
	tut.t.Helper()
	const patience = 10 * time.Minute
	if tut.kill == nil || !strings.Contains(line.text, "--watch") {
		tut.shell.types(line, patience)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	killed := make(chan error, 1)
	go func() { killed <- tut.killUntil(ctx) }()
	defer func() {
		stop()
		if err := <-killed; err != nil {
			tut.t.Error(err)
		}
	}()
	tut.shell.types(line, patience)
}

// killUntil kills one part after the other at random moments, and starts each again at once. All are up when it returns.
func (tut *tutorial) killUntil(ctx context.Context) error {
	parts := [][2]string{{"hub", "controller"}, {"m1", "workloads"}, {"hub", "tekton-controller"}, {"m2", "workloads"}, {"m1", "webhook"}, {"hub", "controller"}, {"m3", "workloads"}, {"m2", "webhook"}}
	for {
		timer := time.NewTimer(time.Duration(1500+tut.kill.IntN(5000)) * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		part := parts[tut.kills%len(parts)]
		tut.kills++
		limited, cancel := context.WithTimeout(context.Background(), limit)
		err := tut.fleet.Kill(limited, part[0], part[1], syscall.SIGKILL)
		if err == nil {
			err = tut.fleet.Start(limited, part[0], part[1])
		}
		cancel()
		if err != nil {
			return fmt.Errorf("kill %d, of %s/%s: %w", tut.kills, part[0], part[1], err)
		}
	}
}

// run is the name of the release that was started last.
func (tut *tutorial) run() string {
	tut.t.Helper()
	name := tut.shell.types(typed{text: `echo "$RUN"`}, time.Minute)
	if tut.pipelineRun(name).Annotations[v1alpha1.AnnotationInitiator] != "alice" {
		tut.t.Errorf("%s was not started by alice", name)
	}
	return name
}

// proxies counts pods whose proxy runs an image, as updated does those of the application.
func (tut *tutorial) proxies(member, tag string) string {
	tut.t.Helper()
	n := map[string]int{}
	for _, pod := range tut.list(member) {
		for _, s := range pod.Status.InitContainerStatuses {
			if s.Name == "proxy" && s.State.Running != nil && strings.HasSuffix(s.Image, "/proxy:"+tag) {
				n[pod.Labels[appsv1alpha1.LabelUnit]]++
			}
		}
	}
	return fmt.Sprintf("dca=%d dcb=%d", n["dca"], n["dcb"])
}

func (tut *tutorial) list(member string) []corev1.Pod {
	tut.t.Helper()
	pods, err := tut.kube[member].CoreV1().Pods(tut.ns).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		tut.t.Fatal(err)
	}
	return pods.Items
}

// runs wants every pod of a member to be ready, on one version of both.
func (tut *tutorial) runs(member, tag string) {
	tut.t.Helper()
	if app, proxy := tut.updated(member, "/shop:"+tag), tut.proxies(member, tag); app != "dca=5 dcb=5" || proxy != "dca=5 dcb=5" {
		tut.t.Errorf("of %s %s run the application %s, and %s the proxy", member, app, tag, proxy)
	}
	for _, pod := range tut.list(member) {
		if !ready(&pod) {
			tut.t.Errorf("%s of %s is not ready", pod.Name, member)
		}
	}
}

func (tut *tutorial) everythingIsOld() {
	tut.t.Helper()
	tut.pods = map[string]map[string]string{}
	for _, m := range tut.members {
		tut.runs(m, "v1")
		tut.pods[m] = tut.identities(m)
	}
	tut.lives = tut.watchLives()
	tut.looks = append(tut.looks, tut.watch("/shop:v2", 2), tut.watch("/shop:v3", 2))
}

// sixOfTen is how it stands when bob is asked.
func (tut *tutorial) sixOfTen(tag string) {
	tut.t.Helper()
	run := tut.run()
	if r, msg := tut.condition(run, "confirm"); r != "AwaitingApproval" {
		tut.t.Errorf("at the question confirm is %s: %s", r, msg)
	}
	for m, want := range map[string]string{"m1": "dca=3 dcb=3", "m2": "dca=0 dcb=0", "m3": "dca=0 dcb=0"} {
		if app, proxy := tut.updated(m, "/shop:"+tag), tut.proxies(m, tag); app != want || proxy != "dca=0 dcb=0" {
			tut.t.Errorf("at the question %s has %s of the application and %s of the proxy, want %s and none", m, app, proxy, want)
		}
	}
	if g := tut.judged(run, "groups", "healthy/errors", "m1"); g.Verdict != v1alpha1.VerdictPass {
		tut.t.Errorf("the groups passed without a word of Prometheus: %+v", g)
	}
	if out, err := tut.periplus("alice", "confirm", run, "--message", "mine"); err == nil {
		tut.t.Errorf("alice confirmed her own release: %s", out)
	}
}

func (tut *tutorial) goodEverywhere() {
	tut.t.Helper()
	rel := tut.rests(tut.run())
	if rel.Status.Phase != v1alpha1.ReleaseSucceeded || touched(rel) != "m1 CafeDeployment, m1 SidecarSet, m2 CafeDeployment, m2 SidecarSet, m3 CafeDeployment, m3 SidecarSet" {
		tut.t.Errorf("the record: %+v", rel.Status)
	}
	for _, m := range tut.members {
		tut.runs(m, "v2")
		tut.samePods(m)
	}
	tut.third = tut.untouched("m3")
}

func (tut *tutorial) sickNowhere() {
	tut.t.Helper()
	run := tut.run()
	rel := tut.rests(run)
	if rel.Status.Phase != v1alpha1.ReleaseRolledBack || touched(rel) != "m1 CafeDeployment back, m1 SidecarSet back, m2 CafeDeployment back" {
		tut.t.Errorf("the record: %+v", rel.Status)
	}
	if r, msg := tut.condition(run+"-hop-m2", "canary"); r != "GuardFailed" || !strings.Contains(msg, "healthy/errors") {
		tut.t.Errorf("the canary of m2 ended %s: %s", r, msg)
	}
	for _, m := range tut.members {
		tut.runs(m, "v2")
		tut.samePods(m)
	}
	for _, c := range []struct {
		member, tag string
		want        int
	}{
		{"m1", "shop:v3", 10}, {"m1", "proxy:v3", 10}, {"m2", "shop:v3", 2}, {"m2", "proxy:v3", 0}, {"m3", "shop:v3", 0}, {"m3", "proxy:v3", 0},
	} {
		if got := tut.lives.pods(c.member, c.tag); got != c.want {
			tut.t.Errorf("%d pods of %s ever ran %s, want %d", got, c.member, c.tag, c.want)
		}
	}
	if now := tut.untouched("m3"); now != tut.third {
		tut.t.Errorf("m3 was touched:\n%s\n%s", tut.third, now)
	}
}

// rests waits until a release has let go of everything, and returns its record.
func (tut *tutorial) rests(run string) *v1alpha1.Release {
	tut.t.Helper()
	tut.eventually("release of "+run+" has let go", func() (bool, string) {
		rel := tut.record(run)
		return rel != nil && rel.Status.Released, fmt.Sprintf("%+v", rel)
	})
	for _, m := range tut.members {
		cafe, set := tut.workloads(m)
		for what, lock := range map[string]string{"application": cafe.Annotations[v1alpha1.AnnotationLock], "proxy": set.Annotations[v1alpha1.AnnotationLock]} {
			if lock != "" {
				tut.t.Errorf("the %s of %s is still locked: %s", what, m, lock)
			}
		}
		for _, unit := range []string{"dca", "dcb"} {
			if part := cafe.Spec.Strategy.Partitions[unit]; part.String() != "100%" {
				tut.t.Errorf("partition of %s in %s is %s at rest", unit, m, part.String())
			}
		}
		if set.Spec.UpdateStrategy.Partition.String() != "100%" || set.Spec.UpdateStrategy.Partitions != nil {
			tut.t.Errorf("the SidecarSet of %s is not at rest: %+v", m, set.Spec.UpdateStrategy)
		}
	}
	return tut.record(run)
}

func (tut *tutorial) workloads(member string) (*appsv1alpha1.CafeDeployment, *appsv1alpha1.SidecarSet) {
	tut.t.Helper()
	apps := tut.apps[member].AppsV1alpha1()
	return must(apps.CafeDeployments(tut.ns).Get(context.Background(), "shop", metav1.GetOptions{}))(tut.t),
		must(apps.SidecarSets().Get(context.Background(), "shop-proxy", metav1.GetOptions{}))(tut.t)
}

// untouched is everything of a member that a release would have changed.
func (tut *tutorial) untouched(member string) string {
	tut.t.Helper()
	cafe, set := tut.workloads(member)
	var containers []string
	for _, pod := range tut.list(member) {
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			containers = append(containers, pod.Name+" "+s.ContainerID)
		}
	}
	slices.Sort(containers)
	return fmt.Sprintf("generations %d and %d, %s", cafe.Generation, set.Generation, strings.Join(containers, ", "))
}

// samePods wants those from before the first release, at their nodes and addresses.
func (tut *tutorial) samePods(member string) {
	tut.t.Helper()
	if now := tut.identities(member); !maps.Equal(tut.pods[member], now) {
		tut.t.Errorf("pods of %s did not keep UID, node and IP:\n%v\n%v", member, tut.pods[member], now)
	}
}

// touched is the record's list in words.
func touched(rel *v1alpha1.Release) string {
	var out []string
	for _, at := range rel.Status.Touched {
		what := at.Member + " " + at.Kind
		if at.Back != nil {
			what += " back"
		}
		out = append(out, what)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
