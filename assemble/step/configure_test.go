// SPDX-License-Identifier: Apache-2.0

package step_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inlay/assemble/step"
	"inlay/layers"
	"inlay/resolve/plan"
)

// unfinished is the status file of a layer with packages to configure.
const unfinished = "var/lib/dpkg/status=Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: install ok unpacked\n\n" +
	"Package: c\nStatus: install ok triggers-pending\n"

// configureStep is a step that configures packages by a script of the test's shell.
func configureStep(script string) plan.Step {
	r := runStep(script)
	r.Dir, r.Configure, r.Setting = "/", true, "apt.scripts: sandbox"
	return plan.Step{Name: "configure", Run: &r}
}

// TestConfigure keeps what configuring packages leaves, but for logs, backups,
// caches and what one machine is known by.
func TestConfigure(t *testing.T) {
	store := keystore(time.Unix(1.7e9, 0), "debian:one", "debian:two")
	files := []string{
		"etc/", "etc/ssh/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/java/", "srv/", "srv/store=" + store, "srv/odd=" + store[:len(store)-1] + "x", "var/", "var/cache/",
		"var/cache/debconf/", "var/lib/", "var/lib/dpkg/", "var/log/", "var/log/old=x", "usr/", "usr/sbin/", "run/", unfinished,
	}
	const script = "write /etc/passwd- x; write /etc/machine-id x; write /etc/ssh/ssh_host_rsa_key x; write /etc/ssh/sshd_config x; copy /srv/store /etc/ssl/certs/java/cacerts; " +
		"copy /srv/odd /etc/ssl/certs/java/other; write /var/cache/debconf/config.dat x; write /var/cache/kept x; write /var/lib/dpkg/status-old x; mkdir /usr/lib/__pycache__; " +
		"write /usr/lib/__pycache__/a.pyc x; write /var/log/dpkg.log x; write /var/log/empty; mkdir /var/log/made; remove /var/log/old; write /run/lock x; mkdir /tmp/x; " +
		"copy /usr/sbin/policy-rc.d /etc/policy; env /srv/env"
	want := []string{
		`dir 0755 33:34 etc/`, `0644 0:0 etc/policy "#!/bin/sh\nexit 101\n"`, `dir 0755 33:34 etc/ssh/`, `0600 0:0 etc/ssh/sshd_config "x"`,
		`dir 0755 33:34 etc/ssl/`, `dir 0755 33:34 etc/ssl/certs/`, `dir 0755 33:34 etc/ssl/certs/java/`,
		"etc/ssl/certs/java/cacerts", "etc/ssl/certs/java/other", `dir 0755 33:34 run/`, `dir 0755 33:34 srv/`,
		`0644 0:0 srv/env "/ 0 [A=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SOURCE_DATE_EPOCH=1000000000 PYTHONDONTWRITEBYTECODE=1]\n"`,
		`dir 0750 0:0 tmp/`, `dir 0755 33:34 usr/`, `dir 0750 0:0 usr/lib/`,
		`dir 0755 33:34 var/`, `dir 0755 33:34 var/cache/`, `dir 0755 33:34 var/cache/debconf/`, `0600 0:0 var/cache/kept "x"`,
		`dir 0755 33:34 var/lib/`, `dir 0755 33:34 var/lib/dpkg/`, `dir 0755 33:34 var/log/`, `0600 0:0 var/log/empty ""`, `dir 0750 0:0 var/log/made/`,
	}
	for _, rung := range rungs(t) {
		t.Run(rung.Name, func(t *testing.T) {
			tools := box(t, rung, files...)
			s, err := tools.Sandbox(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Network = func(context.Context, []string) (step.Network, error) {
				return step.Network{}, errors.New("there is none for packages")
			}
			tools.Sandbox = func(context.Context) (*step.Sandbox, error) { return s, nil }
			var b bytes.Buffer
			made, err := step.Write(t.Context(), &b, configureStep(script), tools)
			if err != nil {
				t.Fatal(err)
			}
			got := entries(t, b.Bytes())
			for i, line := range got {
				if words := strings.Fields(line); strings.HasPrefix(words[2], "etc/ssl/certs/java/") && len(words) > 3 {
					got[i] = words[2]
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the layer (-want +got):\n%s", diff)
			}
			for want, text := range map[string]string{
				"Java's store as of the build": keystore(time.Unix(1e9, 0), "debian:one", "debian:two"), "a store with another sum as it is": files[7][len("srv/odd="):],
			} {
				if !strings.Contains(tarOf(t, b.Bytes()), text) {
					t.Errorf("the layer lacks %s", want)
				}
			}
			report := []string{"apt: configured in the sandbox: b, c"}
			if rung.OneID() {
				report = append(report, "apt: what the scripts in the sandbox gave to other users belongs to root: this machine has one id for it, see `inlay doctor`")
			}
			if diff := cmp.Diff(report, made.Report); diff != "" {
				t.Errorf("the report (-want +got):\n%s", diff)
			}
		})
	}
}

// tarOf returns the tar of a layer.
func tarOf(t *testing.T, b []byte) string {
	t.Helper()
	r, err := layers.Uncompress(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// keystore returns a store of certificates in Java's form.
func keystore(when time.Time, names ...string) string {
	var b bytes.Buffer
	u16 := func(s string) {
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s))))
		b.WriteString(s)
	}
	b.Write([]byte{0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, byte(len(names))})
	for _, n := range names {
		b.Write([]byte{0, 0, 0, 2})
		u16(n)
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(when.UnixMilli())))
		u16("X.509")
		b.Write(binary.BigEndian.AppendUint32(nil, 4))
		b.WriteString("cert")
	}
	sum := sha1.Sum([]byte("\x00c\x00h\x00a\x00n\x00g\x00e\x00i\x00tMighty Aphrodite" + b.String()))
	return b.String() + string(sum[:])
}

// TestConfigureNothing runs nothing where all is configured, in no sandbox.
func TestConfigureNothing(t *testing.T) {
	for name, files := range map[string][]string{
		"configured": {"var/", "var/lib/", "var/lib/dpkg/", "var/lib/dpkg/status=Package: a\nStatus: install ok installed\n"},
		"no dpkg":    {"etc/"},
	} {
		tools := step.Tools{Below: box(t, rungs(t)[0], files...).Below}
		var b bytes.Buffer
		made, err := step.Write(t.Context(), &b, configureStep("exit"), tools)
		if err != nil || len(made.Report) > 0 || len(entries(t, b.Bytes())) > 0 {
			t.Errorf("%s: Write = %q, %v, and the layer has %q", name, made.Report, err, entries(t, b.Bytes()))
		}
	}
}

// TestConfigureFails names the packages.
func TestConfigureFails(t *testing.T) {
	files := []string{"var/", "var/lib/", "var/lib/dpkg/", unfinished}
	_, err := step.Write(t.Context(), io.Discard, configureStep("exit"), box(t, rungs(t)[0], files...))
	const want = "making layer \"configure\": configuring b, c: apt.scripts: sandbox `/bin/sh -c exit` ended with status 3"
	if err == nil || err.Error() != want {
		t.Errorf("Write = %v, want %s", err, want)
	}
	_, err = step.Write(t.Context(), io.Discard, configureStep("write /etc/shadow- x; link /etc/shadow- /etc/shadow2"), box(t, rungs(t)[0], append(files, "etc/")...))
	if err == nil || !strings.Contains(err.Error(), "/etc/shadow2 is another name of /etc/shadow-, which is not kept") {
		t.Errorf("of another name of a file that is not kept Write says %v", err)
	}
}

// FuzzUntimed takes any bytes for a store: what isn't one stays, and what is one
// is the same whenever it was made.
func FuzzUntimed(f *testing.F) {
	f.Add([]byte(keystore(time.Unix(1.7e9, 0), "debian:one", "debian:two")), int64(1e9))
	f.Add([]byte(keystore(time.Unix(0, 0))), int64(0))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, body []byte, epoch int64) {
		sum := sha1.Sum(append([]byte("\x00c\x00h\x00a\x00n\x00g\x00e\x00i\x00tMighty Aphrodite"), body...))
		for _, store := range [][]byte{body, append(bytes.Clone(body), sum[:]...)} {
			got := step.Untimed(store, epoch)
			if len(got) != len(store) || !bytes.Equal(step.Untimed(got, epoch), got) || !bytes.Equal(step.Untimed(step.Untimed(store, 7), epoch), got) {
				t.Errorf("of %q Untimed makes %q", store, got)
			}
		}
	})
}
