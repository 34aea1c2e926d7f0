package instance

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// attributeChange is what a request changes: one attribute.
type attributeChange struct {
	name  string
	value string // as the condition keys have it
	apply func(ctx context.Context, tx *store.Tx, r *record) error
}

// ModifyInstanceAttribute changes one attribute of an instance.
func (s *Instances) ModifyInstanceAttribute(ctx context.Context, in *ec2.ModifyInstanceAttributeInput) (*ec2.ModifyInstanceAttributeOutput, error) {
	change, err := s.attributeChange(in)
	if err != nil {
		return nil, err
	}
	about := append([]iam.About{}, attribute(change.name, change.value)...)
	return &ec2.ModifyInstanceAttributeOutput{}, s.modify(ctx, modifyAction, in.InstanceId, in.DryRun, func(tx *store.Tx, r *record) error {
		if is(r, ec2.InstanceStateNameShuttingDown, ec2.InstanceStateNameTerminated) {
			// source: aws
			return resource.Errorf("IncorrectInstanceState", "The instance '%s' must be in a 'running', 'pending', 'stopping' or 'stopped' state for this operation.", r.ID)
		}
		return change.apply(ctx, tx, r)
	}, about...)
}

// modifyAction is the operation's action.
const modifyAction = "ec2:ModifyInstanceAttribute"

// stopped refuses the change of what a machine reads when it starts. source: aws
func stopped(r *record) error {
	if !is(r, ec2.InstanceStateNameStopped) {
		return resource.Errorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", r.ID)
	}
	return nil
}

// attributeChange reads which attribute a request changes: by its own parameter, or by its name and a value.
func (s *Instances) attributeChange(in *ec2.ModifyInstanceAttributeInput) (*attributeChange, error) {
	for what, asked := range map[string]bool{
		"BlockDeviceMappings": in.BlockDeviceMappings != nil, "Kernel": in.Kernel != nil, "Ramdisk": in.Ramdisk != nil, "SriovNetSupport": in.SriovNetSupport != nil,
		"EnaSupport": in.EnaSupport != nil && !api.Or(in.EnaSupport.Value, true),
	} {
		if asked {
			return nil, resource.Unsupported(what)
		}
	}
	var list []*attributeChange
	for _, b := range []struct {
		name  string
		value *ec2.AttributeBooleanValue
		apply func(r *record, on bool) error
	}{
		{ec2.InstanceAttributeNameDisableApiTermination, in.DisableApiTermination, func(r *record, on bool) error { r.Data.DisableTermination = on; return nil }},
		{ec2.InstanceAttributeNameDisableApiStop, in.DisableApiStop, func(r *record, on bool) error { r.Data.DisableStop = on; return nil }},
		{ec2.InstanceAttributeNameEbsOptimized, in.EbsOptimized, func(r *record, on bool) error { r.Data.EbsOptimized = &on; return stopped(r) }},
		{ec2.InstanceAttributeNameEnaSupport, in.EnaSupport, func(r *record, _ bool) error { return stopped(r) }},
	} {
		value, ok, err := named(in, b.name, b.value)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, &attributeChange{b.name, strconv.FormatBool(value), func(_ context.Context, _ *store.Tx, r *record) error { return b.apply(r, value) }})
		}
	}
	if value, ok, err := named(in, ec2.InstanceAttributeNameSourceDestCheck, in.SourceDestCheck); err != nil {
		return nil, err
	} else if ok {
		list = append(list, &attributeChange{ec2.InstanceAttributeNameSourceDestCheck, strconv.FormatBool(value), func(ctx context.Context, tx *store.Tx, r *record) error {
			return onlyInterface(ctx, tx, r, func(n *resource.Record[resource.NetworkInterface]) error {
				n.Data.SourceDestCheck = &value
				return resource.NetworkInterfaces.Put(ctx, tx, n)
			})
		}})
	}
	if in.Groups != nil {
		list = append(list, &attributeChange{ec2.InstanceAttributeNameGroupSet, "", func(ctx context.Context, tx *store.Tx, r *record) error { return setGroups(ctx, tx, r, in.Groups) }})
	}
	texts, err := textChanges(in)
	if list = append(list, texts...); err != nil {
		return nil, err
	}
	switch {
	case len(list) == 0 && in.Attribute != nil:
		return nil, invalid("Value (%s) for parameter attribute is invalid. It cannot be modified.", *in.Attribute) // source: guess
	case len(list) == 0:
		return nil, resource.Errorf("InvalidParameterCombination", "No attributes specified.") // source: aws
	case len(list) > 1:
		return nil, resource.Errorf("InvalidParameterCombination", "Fields for multiple attribute types specified") // source: aws
	}
	return list[0], nil
}

// named reads a truth value from the parameter of an attribute, or from Value where Attribute names it.
func named(in *ec2.ModifyInstanceAttributeInput, name string, value *ec2.AttributeBooleanValue) (on, ok bool, err error) {
	switch {
	case value != nil:
		return api.Or(value.Value, false), true, nil
	case api.Or(in.Attribute, "") != name:
		return false, false, nil
	}
	on, err = strconv.ParseBool(api.Or(in.Value, ""))
	if err != nil {
		return false, false, invalid("Value (%s) for parameter value is invalid. It must be true or false.", api.Or(in.Value, "")) // source: guess
	}
	return on, true, nil
}

// textChanges reads the changes of attributes that are texts.
func textChanges(in *ec2.ModifyInstanceAttributeInput) (list []*attributeChange, err error) {
	value := func(name string, v *ec2.AttributeValue) *string {
		switch {
		case v != nil:
			return new(api.Or(v.Value, ""))
		case api.Or(in.Attribute, "") == name:
			return new(api.Or(in.Value, ""))
		}
		return nil
	}
	if v := value(ec2.InstanceAttributeNameInstanceType, in.InstanceType); v != nil {
		k, err := findKind(*v)
		if err == nil {
			err = k.fits()
		}
		if err != nil {
			return nil, err
		}
		list = append(list, &attributeChange{ec2.InstanceAttributeNameInstanceType, *v, func(_ context.Context, _ *store.Tx, r *record) error { return setKind(r, k) }})
	}
	if v := value(ec2.InstanceAttributeNameInstanceInitiatedShutdownBehavior, in.InstanceInitiatedShutdownBehavior); v != nil {
		terminates, err := shutdownTerminates(*v)
		if err != nil {
			return nil, err
		}
		list = append(list, &attributeChange{ec2.InstanceAttributeNameInstanceInitiatedShutdownBehavior, *v, func(_ context.Context, _ *store.Tx, r *record) error {
			r.Data.ShutdownTerminates = terminates
			return nil
		}})
	}
	data := []byte(nil)
	switch {
	case in.UserData != nil:
		data, err = in.UserData.Value, checkUserData(in.UserData.Value)
	case api.Or(in.Attribute, "") == ec2.InstanceAttributeNameUserData:
		data, err = decodeUserData(api.Or(in.Value, ""))
	default:
		return list, nil
	}
	return append(list, &attributeChange{ec2.InstanceAttributeNameUserData, "", func(_ context.Context, _ *store.Tx, r *record) error {
		r.Data.UserData = data
		return stopped(r)
	}}), err
}

// setKind makes an instance one of another type, at its next start.
func setKind(r *record, k *kind) error {
	r.Data.InstanceType, r.Data.Credits = &k.name, ""
	r.Data.CpuOptions = &ec2.CpuOptions{CoreCount: &k.cores, ThreadsPerCore: new(k.cpus / k.cores)}
	if k.burstable {
		r.Data.Credits = unlimited
	}
	return stopped(r)
}

// onlyInterface changes the interface of an instance that has no more than one. source: aws
func onlyInterface(ctx context.Context, tx *store.Tx, r *record, change func(*resource.Record[resource.NetworkInterface]) error) error {
	list, err := networkinterface.OfInstance(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return resource.Errorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", r.ID)
	}
	n, err := resource.NetworkInterfaces.Get(ctx, tx, list[0].ID) // as it is kept: what was worked out is not to be
	if err != nil {
		return err
	}
	return change(n)
}

// setGroups gives the interface of an instance other groups, which the caller may use.
func setGroups(ctx context.Context, tx *store.Tx, r *record, ids []string) error {
	for _, id := range ids {
		if _, err := resource.SecurityGroups.FindFor(ctx, tx, modifyAction, id); err != nil {
			return err
		}
	}
	return onlyInterface(ctx, tx, r, func(n *resource.Record[resource.NetworkInterface]) error {
		return networkinterface.SetGroups(ctx, tx, n, ids)
	})
}
