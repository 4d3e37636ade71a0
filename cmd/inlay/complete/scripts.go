// SPDX-License-Identifier: Apache-2.0

package complete

import _ "embed" // the scripts

// Scripts ask the program itself how a line goes on: "inlay __complete WORD..."
// prints a candidate on each line, with a tab before what it is about. So they
// are the same for every version, and no word of the user's is evaluated, as
// the scripts of urfave/cli do.
var (
	//go:embed inlay.bash
	Bash string
	//go:embed inlay.zsh
	Zsh string
	//go:embed inlay.fish
	Fish string
)
