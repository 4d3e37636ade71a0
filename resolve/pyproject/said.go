// SPDX-License-Identifier: Apache-2.0

package pyproject

import (
	"fmt"
	"sync"
)

// Said keeps what commands printed, for as long as the images of one build are
// planned: each is asked once, so that all images get the same answer. The
// zero value is empty, and may be used at the same time. A nil one keeps nothing.
type Said struct {
	mu    sync.Mutex
	texts map[string]string
}

// once returns what is kept of the question, else what ask says, which is kept
// if it is no error.
func (s *Said) once(question any, ask func() (string, error)) (string, error) {
	if s == nil {
		return ask()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%T %q", question, question)
	if text, ok := s.texts[key]; ok {
		return text, nil
	}
	text, err := ask()
	if err != nil {
		return "", err
	}
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	s.texts[key] = text
	return text, nil
}
