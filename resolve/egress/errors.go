// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// A HostError reports a host that can't be read as one.
type HostError struct{ Host string }

func (e *HostError) Error() string {
	return fmt.Sprintf("%q is no host: want HOST or HOST:PORT", e.Host)
}

// Hint shows how hosts are written.
func (e *HostError) Hint() string {
	return "write it as `files.example.com`, for its ports 443 and 80, or `files.example.com:8443`"
}

// A DeniedError reports hosts that programs in a sandbox asked for, and that
// nobody allowed.
type DeniedError struct {
	Hosts []string // "HOST:PORT", sorted
}

func (e *DeniedError) Error() string {
	return "the sandbox reaches package indexes only, and was asked for " + strings.Join(e.Hosts, ", ")
}

// Hint names the flags that would allow them.
func (e *DeniedError) Hint() string {
	flags := make([]string, len(e.Hosts))
	for i, h := range e.Hosts {
		flags[i] = flag(h)
	}
	return "to allow that, give " + strings.Join(flags, " ")
}

func flag(host string) string { return "`--allow-host " + strings.TrimSuffix(host, ":443") + "`" }

// A PrivateError reports a host that is at no address of the public network.
type PrivateError struct {
	Host, Port string
	Addresses  []netip.Addr
}

func (e *PrivateError) Error() string {
	all := make([]string, len(e.Addresses))
	for i, a := range e.Addresses {
		all[i] = a.String()
	}
	return fmt.Sprintf("%s is at %s, which is no address of the public network", e.Host, strings.Join(all, ", "))
}

// Hint names the flag that would allow it.
func (e *PrivateError) Hint() string {
	at := e.Host
	if len(e.Addresses) > 0 && near(e.Addresses[0].Unmap()) {
		at = e.Addresses[0].Unmap().String() // a name doesn't lead there
	}
	if e.Port != "" {
		at = net.JoinHostPort(at, e.Port)
	}
	return "to allow that, give " + flag(at)
}

// A LimitError reports that programs in a sandbox moved as many bytes as they may.
type LimitError struct{ Bytes int64 }

func (e *LimitError) Error() string {
	return fmt.Sprintf("the sandbox has sent and received %d bytes, which is all that it may", e.Bytes)
}

// An UnreachedError reports a host that may be reached and was not.
type UnreachedError struct {
	Host string // "HOST:PORT"
	Err  error
}

func (e *UnreachedError) Error() string { return e.Host + " was not reached: " + e.Err.Error() }

func (e *UnreachedError) Unwrap() error { return e.Err }

// Temporary reports that the same call may succeed later.
func (e *UnreachedError) Temporary() bool { return true }

// Hint says what may be wrong.
func (e *UnreachedError) Hint() string {
	var untrusted *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.As(e.Err, &untrusted):
		return "name the certificates of the authority that vouches for it in the variable SSL_CERT_FILE"
	case errors.As(e.Err, &name):
		return "check the name, this machine's name servers and its proxy settings"
	default:
		return "check the network and its proxy settings"
	}
}
