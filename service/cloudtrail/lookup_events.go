package cloudtrail

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// flushWait is how long a lookup waits for what was done before it to be written.
const flushWait = 5 * time.Second

// flush waits until what was done before can be seen, but not for ever: the disk may be full.
func (t *Trail) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := t.log.Flush(ctx); err != nil {
		return fmt.Errorf("the audit trail cannot be written: %w", err)
	}
	return nil
}

// LookupEvents lists records of all Regions, newest first.
func (t *Trail) LookupEvents(ctx context.Context, in *cloudtrail.LookupEventsInput) (*cloudtrail.LookupEventsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "cloudtrail:LookupEvents", "*"); err != nil {
		return nil, err
	}
	if in.EventCategory != nil {
		return nil, cloudtrail.ErrInvalidEventCategoryException("There are no insight events here")
	}
	from, to := api.Or(in.StartTime, time.Time{}), api.Or(in.EndTime, time.Time{})
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return nil, cloudtrail.ErrInvalidTimeRangeException("The end time is before the start time")
	}
	if !to.IsZero() {
		to = to.Add(time.Second) // times are told by the second
	}
	filter := store.Filter{Account: call.Account, NewestFirst: true}
	var attribute cloudtrail.LookupAttribute
	if len(in.LookupAttributes) > 0 {
		attribute = in.LookupAttributes[0]
	}
	switch attribute.AttributeKey {
	case cloudtrail.LookupAttributeKeyEventId:
		filter.ID = attribute.AttributeValue
	case cloudtrail.LookupAttributeKeyEventName:
		filter.Name = attribute.AttributeValue
	case cloudtrail.LookupAttributeKeyUsername:
		filter.Principal = attribute.AttributeValue
	case cloudtrail.LookupAttributeKeyResourceName:
		filter.Resource = attribute.AttributeValue
	case cloudtrail.LookupAttributeKeyResourceType:
		return nil, cloudtrail.ErrInvalidLookupAttributesException("Records are not kept by the type of their resources; look for a ResourceName")
	}
	if in.NextToken != nil {
		at, id, _ := strings.Cut(*in.NextToken, " ")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, cloudtrail.ErrInvalidNextTokenException("The token is not valid")
		}
		filter.After = store.Cursor{Time: time.UnixMicro(us), ID: id}
	}
	if err := t.flush(ctx); err != nil {
		return nil, err
	}
	most := int(api.Or(in.MaxResults, 50))
	out := &cloudtrail.LookupEventsOutput{Events: []cloudtrail.Event{}}
	var last store.Record
	var bad error
	err := t.log.Query(ctx, from, to, filter, func(r store.Record) bool {
		var e event
		if bad = json.Unmarshal(r.Body, &e); bad != nil {
			return false
		}
		if !matches(&e, attribute) {
			return true
		}
		if len(out.Events) == most {
			out.NextToken = new(strconv.FormatInt(last.Time.UnixMicro(), 10) + " " + last.ID)
			return false
		}
		last = r
		out.Events = append(out.Events, cloudtrail.Event{
			EventId: &e.EventID, EventName: &e.EventName, ReadOnly: new(strconv.FormatBool(e.ReadOnly)),
			AccessKeyId: api.Given(e.UserIdentity.AccessKeyID), EventTime: &r.Time, EventSource: &e.EventSource, Username: api.Given(r.Principal),
			Resources: resources(r.Resource), CloudTrailEvent: new(string(r.Body)),
		})
		return true
	})
	if err == nil {
		err = bad
	}
	return out, err
}

// matches applies the attributes that the log has no index for.
func matches(e *event, a cloudtrail.LookupAttribute) bool {
	switch a.AttributeKey {
	case cloudtrail.LookupAttributeKeyEventSource:
		return e.EventSource == a.AttributeValue
	case cloudtrail.LookupAttributeKeyAccessKeyId:
		return e.UserIdentity.AccessKeyID == a.AttributeValue
	case cloudtrail.LookupAttributeKeyReadOnly:
		return strconv.FormatBool(e.ReadOnly) == a.AttributeValue
	}
	return true
}

// resources names what a call was about.
func resources(arn string) []cloudtrail.Resource {
	if arn == "" {
		return []cloudtrail.Resource{}
	}
	return []cloudtrail.Resource{{ResourceName: &arn}}
}
