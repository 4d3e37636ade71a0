// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// microsoft is Azure's Blob Storage, with the variables that az has for it.
type microsoft struct{ place }

// client returns what speaks to the account: with a connection string, a key, a
// token that is shared, or as who is logged in.
func (m microsoft) client() (*azblob.Client, error) {
	o := azcore.ClientOptions{}
	if m.o.Transport != nil {
		o.Transport = &http.Client{Transport: m.o.Transport}
	}
	own := &azblob.ClientOptions{ClientOptions: o}
	if s := m.variable("AZURE_STORAGE_CONNECTION_STRING"); s != "" {
		return azblob.NewClientFromConnectionString(s, own)
	}
	account := m.variable("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
	if account == "" {
		return nil, errors.New("nothing says which storage account it is in")
	}
	at := "https://" + account + ".blob.core.windows.net/"
	if key := m.variable("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"); key != "" {
		shared, err := azblob.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errors.New("AZURE_STORAGE_KEY is no key") // no word of it
		}
		return azblob.NewClientWithSharedKeyCredential(at, shared, own)
	}
	if token := m.variable("AZURE_STORAGE_SAS_TOKEN"); token != "" {
		return azblob.NewClientWithNoCredential(at+"?"+token, own)
	}
	o.Retry = policy.RetryOptions{MaxRetries: -1} // the metadata server is there or it isn't
	who, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o})
	if err != nil {
		return nil, err
	}
	return azblob.NewClient(at, who, own)
}

func (m microsoft) blob(name string) (*blockblob.Client, error) {
	c, err := m.client()
	if err != nil {
		return nil, err
	}
	return c.ServiceClient().NewContainerClient(m.bucket).NewBlockBlobClient(m.key(name)), nil
}

// Has asks for the blob.
func (m microsoft) Has(ctx context.Context, name string) (bool, error) {
	b, err := m.blob(name)
	if err != nil {
		return false, m.fail(err)
	}
	_, err = b.GetProperties(ctx, nil)
	if bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound) {
		return false, nil
	}
	return err == nil, m.fail(err)
}

// Put writes the blob in one request: it is there once that has ended.
func (m microsoft) Put(ctx context.Context, name string, b Blob) error {
	c, err := m.blob(name)
	if err != nil {
		return m.fail(err)
	}
	media := mediaType
	_, err = c.Upload(ctx, streaming.NopCloser(b), &blockblob.UploadOptions{HTTPHeaders: &blob.HTTPHeaders{BlobContentType: &media}})
	return m.fail(err)
}
