package flowlog

import (
	"context"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteFlowLogs ends flow logs. Their records stay. Those that are not there are said.
func (f *FlowLogs) DeleteFlowLogs(ctx context.Context, in *ec2.DeleteFlowLogsInput) (*ec2.DeleteFlowLogsOutput, error) {
	out := new(ec2.DeleteFlowLogsOutput)
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		out.Unsuccessful = []ec2.UnsuccessfulItem{}
		var found []*record
		for _, id := range in.FlowLogIds {
			r, err := resource.FlowLogs.FindFor(ctx, tx, "ec2:DeleteFlowLogs", id)
			if e, ok := errors.AsType[*api.Error](err); ok && e.Code != "" {
				out.Unsuccessful = append(out.Unsuccessful, ec2.UnsuccessfulItem{
					ResourceId: &id, Error: &ec2.UnsuccessfulItemError{Code: &e.Code, Message: &e.Message},
				})
				continue
			}
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for _, r := range found {
			if err := resource.FlowLogs.Delete(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
