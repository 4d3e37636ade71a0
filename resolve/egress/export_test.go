// SPDX-License-Identifier: Apache-2.0

package egress

import "net/netip"

func (x *Exit) Permits(host, address string) bool {
	return x.permits(host, netip.MustParseAddr(address))
}
