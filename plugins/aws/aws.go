package aws

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// New returns the driver, not yet configured.
func New() driver.Snapshotter {
	return cloud.New(cloud.Definition{
		Name: "aws", Version: "1",
		Attributes: []driver.Attribute{
			{Name: "region", Type: "string", Required: true, Help: "Region of the instances, \"eu-central-1\"."},
			{Name: "access_key_id", Type: "string", Required: true, Secret: true, Help: "Access key of the credentials."},
			{Name: "secret_access_key", Type: "string", Required: true, Secret: true, Help: "Secret key of the credentials."},
			{Name: "session_token", Type: "string", Secret: true, Help: "Token of temporary credentials."},
			{Name: "role", Type: "string", Help: "ARN of a role to assume with these credentials; empty uses them as they are."},
			{Name: "external_id", Type: "string", Help: "External id that the role's trust policy asks for."},
			{Name: "endpoint", Type: "string", Help: "URL of the EC2 API instead of the region's own."},
			{Name: "sts_endpoint", Type: "string", Help: "URL of the STS API instead of the region's own; used with role alone."},
			{Name: "allow_address_change", Type: "bool", Default: "false", Help: "Accepts that a restore gives an instance without Elastic IP another public address."},
		},
		Price:       "0.05 USD",
		PriceSource: "list price of the standard tier in us-east-1 in 2025; other regions differ",
		Connect:     connect,
	})
}

// connect makes the client from the block's settings alone: no environment, no
// shared files, no metadata service.
func connect(_ context.Context, c driver.Config) (cloud.Provider, error) {
	text := func(name string) string {
		v, _ := c[name].(string)
		return strings.TrimSpace(v)
	}
	region := text("region")
	if region == "" || strings.ContainsAny(region, "/.: ") {
		return nil, driver.Errorf(driver.Permanent, "region = %q is no region: write one such as \"eu-central-1\"", region)
	}
	for _, name := range []string{"access_key_id", "secret_access_key"} {
		if text(name) == "" {
			return nil, driver.Errorf(driver.Auth, "%s is empty: the driver takes credentials from its block alone", name)
		}
	}
	for _, name := range []string{"endpoint", "sts_endpoint"} {
		if v := text(name); v != "" {
			if u, err := url.Parse(v); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return nil, driver.Errorf(driver.Permanent, "%s = %q is no URL: write one such as \"https://ec2.eu-central-1.amazonaws.com\"", name, v)
			}
		}
	}
	var creds aws.CredentialsProvider = credentials.NewStaticCredentialsProvider(text("access_key_id"), text("secret_access_key"), text("session_token"))
	if role := text("role"); role != "" {
		client := sts.New(sts.Options{Region: region, Credentials: creds, BaseEndpoint: optional(text("sts_endpoint"))})
		creds = stscreds.NewAssumeRoleProvider(client, role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.ExternalID = "ncfleet", optional(text("external_id"))
		})
	}
	allow, _ := c["allow_address_change"].(bool)
	return &provider{
		allowAddressChange: allow, rehearsed: map[string]bool{},
		// The SDK's own retries would repeat calls that are not idempotent.
		ec2: ec2.New(ec2.Options{Region: region, BaseEndpoint: optional(text("endpoint")),
			Credentials: aws.NewCredentialsCache(creds), Retryer: aws.NopRetryer{}}),
	}, nil
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
