// SPDX-License-Identifier: Apache-2.0

package login

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-containerregistry/pkg/authn"
)

// registryScope is the audience of tokens for any registry of Azure, in all of
// its clouds.
const registryScope = "https://containerregistry.azure.net/.default"

// maxAnswer bounds the answer with a token, in bytes.
const maxAnswer = 1 << 20

// microsoft logs in to ACR with the credentials that every Azure tool uses:
// those of the AZURE_* variables, of a workload's or a machine's identity, or
// of az login. Some registries are open to anybody, so having none is no error.
type microsoft struct{ transport http.RoundTripper }

func (m microsoft) login(ctx context.Context, r authn.Resource) (authn.Authenticator, error) {
	client := &http.Client{Transport: m.transport}
	o := &azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: client}}
	o.Retry = policy.RetryOptions{MaxRetries: -1} // the metadata server is there or it isn't
	who, err := azidentity.NewDefaultAzureCredential(o)
	if err != nil {
		return authn.Anonymous, nil //nolint:nilerr // nobody has logged in
	}
	token, err := who.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{registryScope}})
	if err != nil {
		return authn.Anonymous, nil //nolint:nilerr // nobody has logged in
	}
	refresh, err := exchange(ctx, client, r.RegistryStr(), token.Token)
	if err != nil {
		return nil, fmt.Errorf("exchanging the token of Azure for one of the registry: %w", err)
	}
	return authn.FromConfig(authn.AuthConfig{Username: "<token>", IdentityToken: refresh}), nil
}

// exchange gets a refresh token of the registry for a token of Azure
// (https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md).
func exchange(ctx context.Context, client *http.Client, host, token string) (string, error) {
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", host, resp.Status)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil || answer.RefreshToken == "" {
		return "", fmt.Errorf("%s answers with no token", host) // no word of what it says
	}
	return answer.RefreshToken, nil
}
