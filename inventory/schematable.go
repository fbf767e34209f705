package inventory

// attribute says for the schema what an attribute takes.
type attribute struct {
	kind  string   // of schemaKinds; "word" and "words" take words, "any" everything
	help  string   // for editors
	words []string // with "word" and "words": what it takes
}

func takes(kind, help string) attribute { return attribute{kind: kind, help: help} }

func oneOf(help string, words ...string) attribute { return attribute{"word", help, words} }

// schemaRequired are the attributes that a block cannot do without.
var schemaRequired = map[string][]string{
	"host": {"address"}, "nextcloud": {"path", "url"}, "group": {"hosts"}, "bastion": {"address"}, "spread": {"label"},
}

// schemaAttributes are all attributes by block. One that is missing here takes
// anything in the schema; a test names it.
var schemaAttributes = map[string]attribute{
	"variable.type":        takes("text", "Its type, such as string or map(number)."),
	"variable.default":     takes("any", "Its value where --var gives none."),
	"variable.description": takes("text", "What it is for."),
	"variable.secret":      takes("bool", "The value is a reference to a secret."),

	"ssh.user":            takes("text", "The login user on the hosts."),
	"ssh.port":            takes("number", "The port of sshd; 22."),
	"ssh.keys":            takes("list", "Private key files on the controller."),
	"ssh.key_passphrase":  takes("secret", "What opens the keys."),
	"ssh.certificates":    takes("list", "Certificate files for the keys."),
	"ssh.agent":           takes("bool", "Use the keys of the running ssh-agent."),
	"ssh.agent_socket":    takes("text", "The socket of the agent to use, or none."),
	"ssh.identities_only": takes("bool", "Of the agent's keys only those that keys and certificates name."),
	"ssh.known_hosts":     takes("list", "Files of host keys; ~/.ssh/known_hosts."),
	"ssh.host_keys":       oneOf("Whether an unknown host key is taken at the first contact.", "strict", "accept-new"),
	"ssh.host_key_alias":  takes("text", "The host's name in known_hosts; its address."),
	"ssh.jump":            takes("list", "Bastions on the way, outermost first: their names, or user@host:port."),
	"ssh.config":          takes("text", "An ssh_config to ask ssh -G about the host, or true for ssh's own files."),
	"ssh.connect_timeout": takes("duration", "How long connecting may take."),
	"ssh.keepalive":       takes("duration", "How often a silent connection is tried."),
	"ssh.sudo":            oneOf("Whether steps become root through sudo.", "auto", "none"),
	"ssh.sudo_password":   takes("secret", "What sudo asks for."),

	"bastion.address":     takes("text", "An IP address or DNS name, without a port."),
	"bastion.handshakes":  takes("number", "Hosts behind it that are being connected to at once; 32."),
	"bastion.channels":    takes("number", "Hosts on one connection to it; 200."),
	"bastion.connections": takes("number", "Connections to it; 4."),

	"host.for_each":    takes("any", "One host for each element of a set of texts or a map."),
	"host.name":        takes("text", "With for_each: the name of each host."),
	"host.address":     takes("text", "An IP address or DNS name, without a port."),
	"host.labels":      takes("map", "Texts to select the host by."),
	"host.packages":    takes("text", "The package driver; found by the survey."),
	"host.snapshot":    takes("text", "The snapshot driver; archive."),
	"host.state_dir":   takes("text", "The controller's folder on the host."),
	"host.auto_update": oneOf("Whether what updates it by itself is stopped while a rollout runs, or removed for good.", "hold", "absent"),

	"nextcloud.path":           takes("text", "The folder on the host that holds occ."),
	"nextcloud.url":            takes("text", "The address as users type it in."),
	"nextcloud.web_user":       takes("text", "The account that PHP runs as; the owner of config.php."),
	"nextcloud.php":            takes("text", "The PHP of the command line; found by the survey."),
	"nextcloud.reload":         takes("list", "The words of the command that makes the web's PHP forget old code."),
	"nextcloud.probe_user":     takes("text", "An account for the gate; it makes one and removes it."),
	"nextcloud.probe_password": takes("secret", "The password of probe_user."),

	"group.hosts":       takes("selection", "Who is in the group."),
	"group.parallel":    takes("number", "Most of its hosts at once; no bound."),
	"group.labels":      takes("map", "Labels for all of its hosts."),
	"group.packages":    takes("text", "The package driver of its hosts."),
	"group.snapshot":    takes("text", "The snapshot driver of its hosts."),
	"group.state_dir":   takes("text", "The controller's folder on its hosts."),
	"group.auto_update": oneOf("What becomes of rival updaters on its hosts.", "hold", "absent"),

	"rollout.hosts":           takes("selection", "Who is in the rollout; all hosts."),
	"rollout.max_unavailable": takes("amount", "Most targets out of service at one instant; 1."),
	"rollout.pin":             oneOf("Whether all waves get what the first one ran, and nothing else.", "none", "canary"),
	"rollout.window_cutoff":   oneOf("Whether a target starts that is expected to end after the window.", "expected", "none"),
	"rollout.window_reserve":  takes("duration", "Added to what a target is expected to take."),

	"system.level":    oneOf("Which package updates; none.", "none", "security", "update"),
	"system.upgrades": takes("list", "Products whose next major is wanted, such as php."),
	"system.refresh":  takes("bool", "Renew the package index in the survey; true."),
	"system.reboot":   oneOf("Whether a host may be rebooted; never.", "never", "if_required"),
	"system.timeout":  takes("duration", "How long package work may take."),

	"core.to":          takes("text", "The version to go to: \"29\" or \"29.0.1\"."),
	"core.source":      takes("text", "Where releases come from: a URL or a folder on the controller."),
	"core.transfer":    oneOf("Whether the controller sends the release or the host fetches it.", "push", "fetch"),
	"core.integrity":   oneOf("What a file that is not as signed does.", "strict", "warn"),
	"core.keyring":     takes("text", "A file of OpenPGP keys for the archives' signatures."),
	"core.timeout":     takes("duration", "How long occ upgrade may take."),
	"core.interrupted": oneOf("What becomes of an upgrade that was cut short.", "rerun", "rollback"),

	"apps.update":          oneOf("Which apps are updated.", "all", "none"),
	"apps.on_incompatible": oneOf("What an app does that the new version would disable.", "block", "disable"),
	"apps.catalogue":       takes("text", "A file or URL in the form of the app store's apps.json."),
	"apps.critical":        takes("list", "Apps that must stay enabled."),

	"wave.hosts":           takes("selection", "Who is in the wave."),
	"wave.count":           takes("number", "So many of the hosts that are left."),
	"wave.percent":         takes("percent", "Such a part of the rollout's hosts, at least 1."),
	"wave.rest":            takes("bool", "All hosts that are left."),
	"wave.bake":            takes("duration", "How long the wave must stay healthy before the next."),
	"wave.approve":         takes("bool", "An operator must let it start."),
	"wave.approvals":       takes("number", "How many people must approve it."),
	"wave.approve_expires": takes("duration", "How long an approval counts."),

	"spread.label": takes("text", "Targets with one value of this label are kept apart."),
	"spread.max":   takes("number", "Most of them out of service at once; 1."),

	"failures.budget":       takes("amount", "Failures tolerated; one more halts. 0."),
	"failures.reopen_after": takes("duration", "When a host opens a closed, unchanged instance by itself; 0s is never."),

	"window.days": takes("list", "mon, tue, wed, thu, fri, sat, sun; every day; \"second sat\", \"last sun\" of a month."),
	"window.from": takes("text", "When it opens: \"22:00\"."),
	"window.to":   takes("text", "When it closes: \"04:00\", past midnight when not after from."),
	"window.zone": takes("text", "An IANA time zone: \"Europe/Berlin\"."),

	"blackout.from":   takes("text", "The first day: \"2026-12-24\"."),
	"blackout.to":     takes("text", "The last day; the first one alone."),
	"blackout.zone":   takes("text", "An IANA time zone: \"Europe/Berlin\"."),
	"blackout.reason": takes("text", "Why, for everybody who waits."),

	"gate.webdav":         oneOf("Make a folder, write, read, delete.", "required", "off"),
	"gate.setup_checks":   oneOf("Compare the setup checks with those of before.", "compare", "off"),
	"gate.log":            oneOf("Look for new fatal entries.", "fatal", "off"),
	"gate.pages":          takes("list", "Further paths that must answer 200."),
	"gate.timeout":        takes("duration", "How long one look may take."),
	"gate.ignore_checks":  takes("list", "Classes of setup checks that never hold."),
	"gate.outside_verify": oneOf("Look at the url from the controller after opening.", "required", "off"),
	"gate.on_hold":        oneOf("What an inconclusive gate does.", "wait", "rollback"),
	"gate.hold_timeout":   takes("duration", "How long a held target waits for an operator."),

	"notify.url":      takes("text", "Where to send to, or a secret that holds it."),
	"notify.key":      takes("secret", "Signs what is sent."),
	"notify.room":     takes("text", "The token of the Talk conversation."),
	"notify.server":   takes("text", "The mail server: host:port."),
	"notify.user":     takes("text", "The login at the mail server."),
	"notify.password": takes("secret", "Its password."),
	"notify.from":     takes("text", "The sender's mail address."),
	"notify.to":       takes("list", "Who gets the mail."),
	"notify.on":       {"words", "What is told; all but the start.", notifyOccasions},
}
