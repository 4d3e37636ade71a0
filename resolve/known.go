// SPDX-License-Identifier: Apache-2.0

package resolve

// known are the fingerprints of the keys that sign Debian's archives, by suite:
// those of the archive, of its security updates and of the release. They are in
// the package debian-archive-keyring. A release is signed by its own keys and by
// those of the one before.
var known = map[string][]string{
	"bullseye": bullseye,
	"bookworm": append(bookworm, bullseye...),
	"trixie":   append(trixie, bookworm...),
}

var (
	bullseye = []string{
		"1F89983E0081FDE018F3CC9673A4F27B8DD47936",
		"AC530D520F2F3269F5E98313A48449044AAD5C5D",
		"A4285295FC7B1A81600062A9605C66F00D6C9793",
	}
	bookworm = []string{
		"B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
		"05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
		"4D64FEC119C2029067D6E791F8D2585B8783D481",
	}
	trixie = []string{
		"04B54C3CDCA79751B16BC6B5225629DF75B188BD",
		"5E04A1E3223A19A20706E20F9904613D4CCE68C6",
		"41587F7DB8C774BCCF131416762F67A0B2C39DE4",
	}
)
