package traffic

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

func TestReadingWhatIsToldOfTraffic(t *testing.T) {
	for _, c := range []struct {
		name, text string
		version    string
		want       Behaviour
		wrong      string
	}{
		{"a version of which nothing is said is healthy, under the rate that is told", "requestsPerSecond: 40", "",
			Behaviour{Rate: 40, Errors: Healthy.Errors, Latency: Healthy.Latency, Smoothing: Healthy.Smoothing}, ""},
		{"errors are a percentage", "{requestsPerSecond: 40, versions: {v2: {errors: 0.5%, latency: 50ms}}}", "v2",
			Behaviour{Rate: 40, Errors: 0.005, Latency: 50 * time.Millisecond, Smoothing: Healthy.Smoothing}, ""},
		{"what is beyond the capacity fails", "{requestsPerSecond: 80, versions: {v3: {errors: 0.1%, capacity: 60}}}", "v3",
			Behaviour{Rate: 80, Errors: 0.25, Latency: Healthy.Latency, Smoothing: Healthy.Smoothing}, ""},
		{"a capacity that is not reached costs nothing", "{requestsPerSecond: 40, versions: {v3: {errors: 0.1%, capacity: 60}}}", "v3",
			Behaviour{Rate: 40, Errors: 0.001, Latency: Healthy.Latency, Smoothing: Healthy.Smoothing}, ""},
		{"no requests are nothing to play", "requestsPerSecond: 0", "", Behaviour{}, "requestsPerSecond is 0"},
		{"a misspelled field is named", "{requestsPerSecond: 1, version: {}}", "", Behaviour{}, `unknown field "version"`},
		{"errors without a percent sign are refused", "{requestsPerSecond: 1, versions: {v2: {errors: '0.5'}}}", "", Behaviour{}, `versions[v2].errors: "0.5"`},
		{"a share that is no number is refused", "{requestsPerSecond: 1, versions: {v2: {errors: NaN%}}}", "", Behaviour{}, `versions[v2].errors: "NaN%"`},
		{"a capacity below 0 is refused", "{requestsPerSecond: 1, versions: {v2: {capacity: -1}}}", "", Behaviour{}, "must not be below 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(c.text)
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("got %v, want words of %q", err, c.wrong)
				}
				return
			}
			if err != nil || got[c.version] != c.want {
				t.Errorf("got %+v (%v), want %+v", got[c.version], err, c.want)
			}
		})
	}
}

func tells(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "traffic", Labels: map[string]string{LabelTold: "true"}}, Data: map[string]string{KeyTold: text}}
}

func TestANamespaceIsPlayedWhileAConfigMapTellsOfIt(t *testing.T) {
	client := fake.NewClientset(web("v1", "v1", "c1", corev1.ConditionTrue), tells("requestsPerSecond: 1000"))
	apps, err := Start(map[string]kubernetes.Interface{"m1": client}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = apps.Close() }()
	said := make(chan string, 10)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := apps.Follow(ctx, client, func(format string, args ...any) { said <- fmt.Sprintf(format, args...) }); err != nil {
		t.Fatal(err)
	}
	heard := func(words string) {
		t.Helper()
		select {
		case got := <-said:
			if !strings.Contains(got, words) {
				t.Errorf("it says %q, want %q", got, words)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("it does not say %q", words)
		}
	}
	heard("shop is played: 1000 requests")
	url := apps.URL("m1", "shop", "web-0")
	if code, _ := get(t, url); code != 200 {
		t.Errorf("a healthy pod answers %d", code)
	}
	maps := client.CoreV1().ConfigMaps("shop")
	if _, err := maps.Update(ctx, tells("{requestsPerSecond: 1000, versions: {v1: {errors: 100%}}}"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	heard("shop is played")
	if code, _ := get(t, url); code != 500 {
		t.Errorf("a pod that is told to fail answers %d", code)
	}
	if _, err := maps.Update(ctx, tells("requestsPerSecond: many"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	heard("shop/traffic: " + KeyTold)
	if code, _ := get(t, url); code != 500 {
		t.Errorf("after words that are wrong a pod answers %d, and not as before", code)
	}
	if err := maps.Delete(ctx, "traffic", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	heard("not played any more")
	if code, _ := get(t, url); code != 503 {
		t.Errorf("a pod that is not played answers %d", code)
	}
}
