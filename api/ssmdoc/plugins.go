package ssmdoc

import "slices"

// platforms are the platforms on which a plugin runs. source: userguide ("Command document plugin
// reference"), agent
var platforms = map[string][]string{
	"aws:applications":        {"Windows"},
	"aws:cloudWatch":          {"Windows"},
	"aws:configureDaemon":     {"Windows"},
	"aws:configureDocker":     {"Windows", "Linux"},
	"aws:configurePackage":    {"Windows", "Linux", "MacOS"},
	"aws:domainJoin":          {"Windows", "Linux"},
	"aws:downloadContent":     {"Windows", "Linux", "MacOS"},
	"aws:psModule":            {"Windows"},
	"aws:refreshAssociation":  {"Windows", "Linux", "MacOS"},
	"aws:runDockerAction":     {"Windows", "Linux"},
	"aws:runDocument":         {"Windows", "Linux", "MacOS"},
	"aws:runPowerShellScript": {"Windows", "Linux"},
	"aws:runShellScript":      {"Linux", "MacOS"},
	"aws:softwareInventory":   {"Windows", "Linux", "MacOS"},
	"aws:updateAgent":         {"Windows"},
	"aws:updateSsmAgent":      {"Windows", "Linux", "MacOS"},
}

// Known says whether agents have a plugin of that name on any platform.
func Known(plugin string) bool { return platforms[plugin] != nil }

// RunsOn says whether agents have a plugin of that name on a platform: Windows, Linux or MacOS.
func RunsOn(plugin, platform string) bool { return slices.Contains(platforms[plugin], platform) }

// PlatformTypes are the platforms that a document can do something on: those of its plugins, in
// AWS's order.
func (d *Document) PlatformTypes() []string {
	var out []string
	for _, platform := range []string{"Windows", "Linux", "MacOS"} {
		for _, s := range d.Steps {
			if slices.Contains(platforms[s.Action], platform) {
				out = append(out, platform)
				break
			}
		}
	}
	return out
}
