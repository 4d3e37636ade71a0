// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what Google compares
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	oauth "golang.org/x/oauth2/google"
)

// google is Google Cloud Storage, by two requests of its JSON API: its client
// library would double what it takes to start this program.
type google struct{ place }

const (
	mediaType   = "application/gzip"
	googleAPI   = "https://storage.googleapis.com"
	googleScope = "https://www.googleapis.com/auth/devstorage.read_write"
)

// client returns where the API is, and what speaks to it: with the application
// default credentials, or with none to an emulator.
func (g google) client(ctx context.Context) (string, *http.Client, error) {
	base := &http.Client{Transport: g.o.Transport}
	if host := g.variable("STORAGE_EMULATOR_HOST"); host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		return strings.TrimRight(host, "/"), base, nil
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, base)
	found, err := oauth.FindDefaultCredentials(ctx, googleScope)
	if err != nil {
		return "", nil, err
	}
	return googleAPI, oauth2.NewClient(ctx, found.TokenSource), nil
}

// Has asks for the object.
func (g google) Has(ctx context.Context, name string) (bool, error) {
	api, client, err := g.client(ctx)
	if err != nil {
		return false, g.fail(err)
	}
	status, err := send(ctx, client, http.MethodGet, api+"/storage/v1/b/"+url.PathEscape(g.bucket)+"/o/"+url.PathEscape(g.key(name)), nil)
	if status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, g.fail(err)
}

// Put writes the object in one request. Google compares what it gets with the
// MD5.
func (g google) Put(ctx context.Context, name string, b Blob) error {
	api, client, err := g.client(ctx)
	if err != nil {
		return g.fail(err)
	}
	sum := md5.New() //nolint:gosec // see above
	if _, err := io.Copy(sum, b); err != nil {
		return g.fail(err)
	}
	about, err := json.Marshal(map[string]any{"name": g.key(name), "md5Hash": sum.Sum(nil), "contentType": mediaType})
	if err != nil {
		return g.fail(err)
	}
	_, err = send(ctx, client, http.MethodPost, api+"/upload/storage/v1/b/"+url.PathEscape(g.bucket)+"/o?uploadType=multipart", func() (*body, error) {
		return parts(about, b)
	})
	return g.fail(err)
}

// A body is that of a request.
type body struct {
	io.Reader
	kind string
	size int64
}

// parts returns the body that holds an object and what it is called.
func parts(about []byte, b Blob) (*body, error) {
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	first, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/json; charset=UTF-8"}})
	if err == nil {
		_, err = first.Write(about)
	}
	if err == nil {
		_, err = w.CreatePart(textproto.MIMEHeader{"Content-Type": {mediaType}})
	}
	if err != nil {
		return nil, err
	}
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	return &body{io.MultiReader(&head, b, strings.NewReader(tail)), "multipart/related; boundary=" + w.Boundary(), int64(head.Len()) + b.Size + int64(len(tail))}, nil
}

// send sends a request, some times if the server asks for that, and returns the
// status of the answer.
func send(ctx context.Context, client *http.Client, method, at string, open func() (*body, error)) (status int, err error) {
	const tries = 4
	for try := 1; ; try++ {
		status, err = sendOnce(ctx, client, method, at, open)
		if err == nil || try == tries || status != 0 && status != http.StatusTooManyRequests && status < http.StatusInternalServerError {
			return status, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Duration(try*try) * 250 * time.Millisecond):
		}
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

func sendOnce(ctx context.Context, client *http.Client, method, at string, open func() (*body, error)) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return 0, err
	}
	if open != nil {
		b, err := open()
		if err != nil {
			return 0, err
		}
		req.Body, req.ContentLength = io.NopCloser(b), b.size
		req.Header.Set("Content-Type", b.kind)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices {
		return resp.StatusCode, nil
	}
	var problem struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(text, &problem) // what isn't JSON says nothing to people
	return resp.StatusCode, fmt.Errorf("%s %s", resp.Status, problem.Error.Message)
}
