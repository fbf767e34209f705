package openstack

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: "openstack", Version: "1",
		Attributes: []driver.Attribute{
			{Name: "auth_url", Type: "string", Required: true, Help: "URL of Keystone, \"https://keystone.example:5000/v3\"."},
			{Name: "application_credential_id", Type: "string", Secret: true, Help: "Id of an application credential; else username and password."},
			{Name: "application_credential_secret", Type: "string", Secret: true, Help: "Secret of the application credential."},
			{Name: "username", Type: "string", Help: "User name, if there is no application credential."},
			{Name: "password", Type: "string", Secret: true, Help: "Password of the user."},
			{Name: "user_domain", Type: "string", Default: "Default", Help: "Domain of the user and of the project, by name."},
			{Name: "project", Type: "string", Help: "Project of the servers, by name; an application credential has its own."},
			{Name: "region", Type: "string", Help: "Region of the servers; may be empty where there is one alone."},
			{Name: "compute_endpoint", Type: "string", Help: "URL of Nova instead of the catalog's, version included."},
			{Name: "volume_endpoint", Type: "string", Help: "URL of Cinder instead of the catalog's, version and project included."},
			{Name: "image_endpoint", Type: "string", Help: "URL of Glance instead of the catalog's, without version."},
		},
		Connect: connect,
	})
}

// provider is one project of one region.
type provider struct {
	compute, volume, image *gophercloud.ServiceClient
}

// connect logs in with the block's settings alone: no OS_ variables and no
// clouds.yaml.
func connect(ctx context.Context, c driver.Config) (cloud.Provider, error) {
	text := func(name string) string {
		v, _ := c[name].(string)
		return strings.TrimSpace(v)
	}
	for _, name := range []string{"auth_url", "compute_endpoint", "volume_endpoint", "image_endpoint"} {
		v := text(name)
		if u, err := url.Parse(v); v == "" && name != "auth_url" {
			continue
		} else if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, driver.Errorf(driver.Permanent, "%s = %q is no URL: write one such as \"https://keystone.example:5000/v3\"", name, v)
		}
	}
	login, err := credentials(text)
	if err != nil {
		return nil, err
	}
	client, err := openstack.NewClient(login.IdentityEndpoint)
	if err != nil {
		return nil, driver.Errorf(driver.Permanent, "auth_url = %q: %v", text("auth_url"), err)
	}
	client.HTTPClient = *cloud.HTTPClient()
	if err := do(ctx, "log in at "+login.IdentityEndpoint, func(ctx context.Context) error { return openstack.Authenticate(ctx, client, login) }); err != nil {
		return nil, err
	}
	p := &provider{}
	at := gophercloud.EndpointOpts{Region: text("region")}
	for _, s := range []struct {
		target   **gophercloud.ServiceClient
		endpoint string
		resource string // what stands behind the endpoint in every URL
		find     func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	}{
		{&p.compute, text("compute_endpoint"), "", openstack.NewComputeV2},
		{&p.volume, text("volume_endpoint"), "", openstack.NewBlockStorageV3},
		{&p.image, text("image_endpoint"), "v2/", openstack.NewImageV2},
	} {
		if s.endpoint != "" {
			base := strings.TrimSuffix(s.endpoint, "/") + "/"
			*s.target = &gophercloud.ServiceClient{ProviderClient: client, Endpoint: base, ResourceBase: base + s.resource}
			continue
		}
		if *s.target, err = s.find(client, at); err != nil {
			return nil, located(err, text("auth_url"), text("region"))
		}
	}
	return p, nil
}

// located types the error of a service that the catalog does not show, or whose
// versions could not be read.
func located(err error, auth, region string) error {
	var missing *gophercloud.ErrEndpointNotFound
	if errors.As(err, &missing) {
		return driver.Errorf(driver.Permanent, "the catalog of %s: %v; is region = %q right?", auth, err, region)
	}
	return cloud.Refusal("ask a service in the catalog of "+auth+" for its versions", 0, 0, err)
}

func credentials(text func(string) string) (gophercloud.AuthOptions, error) {
	o := gophercloud.AuthOptions{IdentityEndpoint: text("auth_url"), AllowReauth: true}
	switch {
	case text("application_credential_id") != "":
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = text("application_credential_id"), text("application_credential_secret")
		if o.ApplicationCredentialSecret == "" {
			return o, driver.Errorf(driver.Auth, "application_credential_secret is empty")
		}
	case text("username") != "" && text("password") != "" && text("project") != "":
		domain := text("user_domain")
		if domain == "" {
			domain = "Default"
		}
		o.Username, o.Password, o.DomainName = text("username"), text("password"), domain
		o.Scope = &gophercloud.AuthScope{ProjectName: text("project"), DomainName: domain}
	default:
		return o, driver.Errorf(driver.Auth, "set application_credential_id and application_credential_secret, or username, password and project: the driver takes credentials from its block alone")
	}
	return o, nil
}
