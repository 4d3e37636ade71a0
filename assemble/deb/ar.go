// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	arMagic  = "!<arch>\n"
	arHeader = 60 // bytes of a member's header
	arMost   = 16 // members; three are usual
)

// arMembers lists the members of an ar (deb(5) names the fields).
func arMembers(file io.ReaderAt, size int64) ([]member, error) {
	magic := make([]byte, len(arMagic))
	if _, err := file.ReadAt(magic, 0); err != nil || string(magic) != arMagic {
		return nil, errors.New("is no ar archive")
	}
	var members []member
	header := make([]byte, arHeader)
	for at := int64(len(arMagic)); at < size; {
		if len(members) == arMost {
			return nil, fmt.Errorf("has more than %d members", arMost)
		}
		if _, err := file.ReadAt(header, at); err != nil {
			return nil, errors.New("is cut off in the header of a member")
		}
		m, err := arMember(file, header, at+arHeader, size)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
		at += arHeader + m.Size() + m.Size()&1
	}
	return members, nil
}

func arMember(file io.ReaderAt, header []byte, at, size int64) (member, error) {
	if string(header[58:60]) != "`\n" {
		return member{}, errors.New("has a member without a proper header")
	}
	name := strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
	n, err := strconv.ParseInt(strings.TrimRight(string(header[48:58]), " "), 10, 64)
	if err != nil || n < 0 {
		return member{}, fmt.Errorf("has a member %q without a size", name)
	}
	if n > size-at {
		return member{}, fmt.Errorf("is cut off in its member %q", name)
	}
	return member{name, io.NewSectionReader(file, at, n)}, nil
}
