package v1alpha1

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a zone must be one whatever machine validates it.

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Least and greatest length of a TimeWindow.
const (
	MinWindow = time.Minute
	MaxWindow = 7 * 24 * time.Hour
)

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// ParseSchedule parses five cron fields. The forms that name a time zone or an interval ("TZ=…", "@every …") are refused: the zone is a field of
// its own, and an interval has no times of the day.
func ParseSchedule(schedule string) (cron.Schedule, error) {
	if strings.ContainsAny(schedule, "=@") {
		return nil, errors.New(`must be the five fields "minute hour day-of-month month day-of-week" and nothing else; the time zone stands in timeZone`)
	}
	if n := len(strings.Fields(schedule)); n != 5 {
		return nil, fmt.Errorf(`must be the five fields "minute hour day-of-month month day-of-week", and has %d`, n)
	}
	s, err := cronParser.Parse(schedule)
	if err != nil {
		return nil, fmt.Errorf("is no cron schedule: %w", err)
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("names a day that never comes")
	}
	return s, nil
}

// ParseTimeZone finds a zone of the IANA database; empty is UTC.
func ParseTimeZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, errors.New("must be a zone of the IANA database, such as Europe/Berlin; what is local depends on the machine")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New("must be a zone of the IANA database, such as Europe/Berlin")
	}
	return zone, nil
}

// SetDefaults fills in what is empty.
func (s *WindowSpec) SetDefaults() {
	if s.TimeZone == "" {
		s.TimeZone = time.UTC.String()
	}
}

// Validate says all that is wrong with the spec by itself, after params were expanded and defaults set.
func (s *WindowSpec) Validate(p *field.Path) field.ErrorList {
	errs := ValidateWindows(s.Windows, s.TimeZone, p)
	return append(errs, validateNames(s.Members, p.Child("members"), false)...)
}

// ValidateWindows says all that is wrong with the fields windows and timeZone of what p names.
func ValidateWindows(windows []TimeWindow, timeZone string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range windows {
		at := p.Child("windows").Index(i)
		if _, err := ParseSchedule(windows[i].Schedule); err != nil {
			errs = append(errs, field.Invalid(at.Child("schedule"), windows[i].Schedule, err.Error()))
		}
		if d := windows[i].Duration.Duration; d < MinWindow || d > MaxWindow {
			errs = append(errs, field.Invalid(at.Child("duration"), d.String(), "must be from 1m to 168h"))
		}
	}
	if _, err := ParseTimeZone(timeZone); err != nil {
		errs = append(errs, field.Invalid(p.Child("timeZone"), timeZone, err.Error()))
	}
	return errs
}
