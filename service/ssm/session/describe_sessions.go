package session

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

// listPage is how many rows are read at a time, and how many are answered when nothing is said.
const listPage = 50

// DescribeSessions lists open sessions or past ones, newest first.
func (s *Sessions) DescribeSessions(ctx context.Context, in *ssm.DescribeSessionsInput) (*ssm.DescribeSessionsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:DescribeSessions", "*"); err != nil {
		return nil, err
	}
	f, err := readFilters(in.Filters)
	if err != nil {
		return nil, err
	}
	f.resume(in.NextToken)
	most := int(api.Or(in.MaxResults, listPage))
	out := new(ssm.DescribeSessionsOutput)
	err = s.db.View(ctx, func(tx *store.Tx) error {
		out.Sessions, out.NextToken = []ssm.Session{}, nil
		if f.nothing {
			return nil
		}
		before, after := f.before, f.after
		for {
			page, err := rows.New(tx).ListSessions(ctx, rows.ListSessionsParams{
				Account: call.Account, Region: call.Region, Open: in.State == ssm.SessionStateActive, Before: before, After: after, Since: f.since,
				Target: f.target, Owner: f.owner, ID: f.session, Most: listPage,
			})
			if err != nil {
				return err
			}
			for i := range page {
				row := &page[i]
				before, after = row.Started, row.ID
				status := s.status(row)
				if f.status != "" && f.status != status {
					continue
				}
				if len(out.Sessions) == most {
					last := out.Sessions[most-1]
					out.NextToken = new(strconv.FormatInt(last.StartDate.UnixMilli(), 10) + " " + *last.SessionId)
					return nil
				}
				out.Sessions = append(out.Sessions, answer(row, status))
			}
			if len(page) < listPage {
				return nil
			}
		}
	})
	return out, err
}

// filters are the conditions of a list, and where it goes on.
type filters struct {
	before                         int64 // milliseconds; of those that began together, the ones before after
	after                          string
	since                          int64
	target, owner, session, status string
	nothing                        bool // there is no such session
}

// readFilters reads the filters of a request.
func readFilters(list []ssm.SessionFilter) (*filters, error) {
	f := &filters{before: math.MaxInt64}
	for _, filter := range list {
		switch filter.Key {
		case ssm.SessionFilterKeyInvokedAfter, ssm.SessionFilterKeyInvokedBefore:
			t, err := time.Parse(time.RFC3339, filter.Value)
			if err != nil {
				return nil, ssm.ErrInvalidFilterKey("The value %s of %s is not a time such as 2024-08-29T00:00:00Z", filter.Value, filter.Key)
			}
			if filter.Key == ssm.SessionFilterKeyInvokedAfter {
				f.since = max(f.since, t.UnixMilli())
			} else {
				f.before = min(f.before, t.UnixMilli())
			}
		case ssm.SessionFilterKeyTarget:
			f.only(&f.target, filter.Value)
		case ssm.SessionFilterKeyOwner:
			f.only(&f.owner, filter.Value)
		case ssm.SessionFilterKeySessionId:
			f.only(&f.session, filter.Value)
		case ssm.SessionFilterKeyStatus:
			switch filter.Value {
			case connecting, connected, disconnected, terminating, terminated, failed:
			default:
				return nil, ssm.ErrInvalidFilterKey("The value %s of %s is not the status of a session", filter.Value, filter.Key)
			}
			f.only(&f.status, filter.Value)
		case ssm.SessionFilterKeyAccessType:
			if filter.Value != ssm.AccessTypeStandard && filter.Value != ssm.AccessTypeJustInTime {
				return nil, ssm.ErrInvalidFilterKey("The value %s of %s is not Standard or JustInTime", filter.Value, filter.Key)
			}
			f.nothing = f.nothing || filter.Value != ssm.AccessTypeStandard
		}
	}
	return f, nil
}

// only adds a condition; two that differ leave nothing.
func (f *filters) only(to *string, value string) {
	f.nothing = f.nothing || *to != "" && *to != value
	*to = value
}

// resume goes on behind a cursor.
func (f *filters) resume(token *string) {
	at, id, ok := strings.Cut(api.Or(token, ""), " ")
	if n, err := strconv.ParseInt(at, 10, 64); err == nil && ok {
		f.before, f.after = n, id
	}
}

// status is the status of a session as answers have it.
func (s *Sessions) status(row *rows.SsmSession) string {
	if l := s.lookup(row.ID); row.Status == connected && l != nil && l.alone(time.Now()) {
		return disconnected
	}
	return row.Status
}

// answer is a session as answers have it.
func answer(row *rows.SsmSession, status string) ssm.Session {
	out := ssm.Session{
		SessionId: &row.ID, Target: &row.Target, Status: &status, StartDate: new(time.UnixMilli(row.Started).UTC()), DocumentName: &row.Document,
		Owner: api.Given(row.Owner), Reason: api.Given(row.Reason), Details: api.Given(row.Details), AccessType: new(ssm.AccessTypeStandard),
		OutputUrl: &ssm.SessionManagerOutputUrl{S3OutputUrl: api.Given(row.S3Url), CloudWatchOutputUrl: api.Given(row.LogUrl)},
	}
	if row.Ended > 0 {
		out.EndDate = new(time.UnixMilli(row.Ended).UTC())
	}
	if row.Duration > 0 {
		out.MaxSessionDuration = new(strconv.FormatInt(row.Duration, 10))
	}
	return out
}
