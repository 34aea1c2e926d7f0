package instance

// machineType is an instance type: what a machine of it may use.
type machineType struct {
	name   string
	cpus   int64 // said, not enforced
	memory int64 // MiB; the machine's limit
}

// defaultType is that of a launch that names none. source: model
const defaultType = "m1.small"

// types are those that there are. source: aws
var types = []machineType{
	{"m1.small", 1, 1740}, {"t3.nano", 2, 512}, {"t3.micro", 2, 1024}, {"t3.small", 2, 2048}, {"t3.medium", 2, 4096}, {"t3.large", 2, 8192},
	{"t4g.nano", 2, 512}, {"t4g.micro", 2, 1024}, {"t4g.small", 2, 2048}, {"t4g.medium", 2, 4096},
}

// findType gives a type by its name.
func findType(name string) (machineType, error) {
	for _, t := range types {
		if t.name == name {
			return t, nil
		}
	}
	return machineType{}, invalid("Invalid value '%s' for InstanceType.", name) // source: aws
}

// Memory is how much a machine of a type may use, in bytes; 0 for no limit.
func Memory(name string) int64 {
	t, err := findType(name)
	if err != nil {
		return 0
	}
	return t.memory << 20
}
