// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"strings"

	"inlay/assemble/script"
)

// capabilities are the numbers that setcap knows by name (capabilities(7)).
var capabilities = map[string]uint{
	"cap_chown": 0, "cap_dac_override": 1, "cap_dac_read_search": 2, "cap_fowner": 3, "cap_kill": 5, "cap_setgid": 6, "cap_setuid": 7,
	"cap_net_bind_service": 10, "cap_net_broadcast": 11, "cap_net_admin": 12, "cap_net_raw": 13, "cap_ipc_lock": 14,
	"cap_sys_chroot": 18, "cap_sys_ptrace": 19, "cap_sys_admin": 21, "cap_sys_nice": 23, "cap_sys_resource": 24, "cap_bpf": 39, "cap_perfmon": 38,
}

// setcap gives a file capabilities, such as "cap_net_raw+ep".
func setcap(_ context.Context, c *script.Call) error {
	args := c.Args[1:]
	if len(args) == 3 && args[0] == "-q" {
		args = args[1:]
	}
	if len(args) != 2 || strings.HasPrefix(args[0], "-") {
		return c.Usage()
	}
	i := strings.IndexAny(args[0], "+=")
	if i < 0 {
		return c.Usage()
	}
	var mask uint64
	for name := range strings.SplitSeq(args[0][:i], ",") {
		n, ok := capabilities[name]
		if !ok {
			return c.Usage()
		}
		mask |= 1 << n
	}
	flags := args[0][i+1:]
	if strings.Trim(flags, "pe") != "" || !strings.Contains(flags, "p") {
		return c.Usage()
	}
	// vfs_cap_data of revision 2: magic and flags, then permitted and
	// inheritable, low and high halves.
	magic := uint32(0x02000000)
	if strings.Contains(flags, "e") {
		magic |= 1
	}
	value := make([]byte, 0, 20)
	for _, v := range []uint32{magic, uint32(mask), 0, uint32(mask >> 32), 0} {
		value = append(value, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	if err := c.Tree.SetCapability(c.Abs(args[1]), string(value)); err != nil {
		return c.Fail(err)
	}
	return nil
}

// getcap prints nothing for a file without capabilities, as new files are.
func getcap(_ context.Context, c *script.Call) error {
	if len(c.Args) != 2 {
		return c.Usage()
	}
	f, err := c.Tree.Stat(c.Abs(c.Args[1]))
	if err != nil {
		return c.Fail(err)
	}
	if f.Capability != "" {
		return c.Usage()
	}
	return nil
}
