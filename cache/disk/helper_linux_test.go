// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"fmt"
	"os"
	"syscall"

	"inlay/cache/disk"
)

func init() {
	// full writes more into dir than fits.
	roles["full"] = func(dir string) error {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			return fmt.Errorf("skip: mounting a tmpfs: %w", err)
		}
		f, err := disk.Create(dir)
		if err != nil {
			return err
		}
		_, err = f.Write(make([]byte, 1<<20))
		f.Abort()
		return describe(err, dir)
	}
	// readonly writes into a read-only file system.
	roles["readonly"] = func(dir string) error {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("skip: mounting a tmpfs: %w", err)
		}
		return describe(disk.Values{Dir: dir}.Put("a", nil), dir)
	}
}

// mounting says how to start a process that may mount, where nobody else sees it.
func mounting() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}
