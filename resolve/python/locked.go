// SPDX-License-Identifier: Apache-2.0

package python

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// locked returns the answer of a lock file with what depends on the parent's
// files, as it was found out before.
func (r *Resolver) locked(ctx context.Context, req Request) (*Resolution, error) {
	req.View = req.open()
	question, err := json.Marshal(req.Locked)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("locked-%x", sha256.Sum256(append(question, req.Inventory.Digest...)))
	a, err := r.recall(name)
	if errors.Is(err, fs.ErrNotExist) {
		a = &answer{Resolution: *req.Locked}
		a.Torch = describeTorch(a.Wheels)
		if err = a.finish(ctx, req); err == nil {
			err = r.remember(name, a)
		}
	}
	if err != nil {
		return nil, err
	}
	a.Recalled = true
	return &a.Resolution, nil
}
