"""What the simulator takes the 8x8 side to do, line by line, and how sure that is: pure data.

In: nothing. Out: ASSUMPTIONS, and `render_fidelity`, the text of FIDELITY.md beside this file.
Code names a line by its id (`trigger.retry-schedule`), so that a correction finds every place.
`python -m simulator.assumptions` prints the text of FIDELITY.md.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a line is known."""

    DOCUMENTED = "D"  # the vendor says so
    CLIENT = "C"  # seen in public client code that talks to the real service
    ASSUMED = "A"  # assumed by this project


@dataclass(frozen=True)
class Assumption:
    """One line about the 8x8 side, and where this project does what it says.

    setting: the field of `simulator.settings.Settings` that changes it. place: the one function,
    class or table to change where no setting does, as `package.module:name` under `simulator`
    (or under the root, as receiver.trigger). test: what would fail if the line did not hold, as
    `path::name`; for an assumption with a setting it flips the setting and sees the wire change.
    """

    id: str  # area.kebab-case
    statement: str
    grade: Grade
    source: str
    setting: str | None = None
    place: str | None = None
    test: str | None = None

    @property
    def area(self) -> str:
        """trigger, exchange, api or records."""
        return self.id.partition(".")[0]


AREAS = {
    "trigger": "CRM triggers",
    "exchange": "Data exchange",
    "api": "CRM API",
    "records": "Records",
}

_D, _C, _A = Grade.DOCUMENTED, Grade.CLIENT, Grade.ASSUMED
_PAGE = "8x8: Configure External CRM Triggers"
_EXCHANGE = "8x8: Overview of data exchange"
_DELETE = "8x8: Delete CRM data"
_EMAIL = "8x8: email interactions overview; CRM properties"
_TAB = "8x8: CRM API tab reference"
_IMPORT = "8x8: CRM import"
_FIELDS_PAGE = "8x8: CRM fields"
_DOCS = "vendor documentation"
_CLIENTS = "public client code"
_NONE = "nothing public"
_SIMULATOR = "tests/integration/simulator"
_SWITCHES = f"{_SIMULATOR}/test_switches.py"
_PLACES = f"{_SIMULATOR}/test_assumed_places.py"
_WRITE = f"{_SIMULATOR}/test_crm_api_write.py"
_GET = f"{_SIMULATOR}/test_crm_api_get.py"
_GOLDEN = f"{_SIMULATOR}/test_crm_api_golden.py"
_CALLERS = f"{_SIMULATOR}/test_crm_api_clients.py"
_PARSE = "tests/unit/simulator/test_crm_api_parse.py"
_DELETES = f"{_SIMULATOR}/test_pages_deleting.py"
_CHANGES = "tests/unit/simulator/test_changes.py"

ASSUMPTIONS: tuple[Assumption, ...] = (
    Assumption(
        "trigger.boxes",
        "A trigger is a URL set for one object and one event in Configuration Manager, "
        "Integration > CRM Triggers; it is called if a URL has been specified.",
        _D,
        f"{_PAGE}; {_EXCHANGE}",
        place="triggers.outbox:enqueue",
        test=f"{_CHANGES}::test_a_box_left_empty_fires_nothing",
    ),
    Assumption(
        "trigger.eleven-events",
        "Customer, Case and Task have Create, Edit and Delete; Followup has Create and Delete.",
        _D,
        _PAGE,
        place="local_crm.changes:_note",
        test=f"{_CHANGES}::test_the_eleven_events_append_the_documented_strings_byte_for_byte",
    ),
    Assumption(
        "trigger.followup-edit-box",
        "The tab shows twelve boxes, Followup Edit among them.",
        _D,
        _PAGE,
        place="triggers.urls:BOXES",
        test=f"{_SIMULATOR}/test_pages_config_manager.py::test_twelve_boxes_are_saved_and_shown_again",
    ),
    Assumption(
        "trigger.followup-edit-silent",
        "The Followup Edit box fires nothing: the event table knows no such event and the CRM "
        "API has no Modify right for follow-ups.",
        _A,
        _NONE,
        setting="followup_edit_trigger",
        test=f"{_SWITCHES}::test_followup_edit_fires_only_under_its_switch",
    ),
    Assumption(
        "trigger.query-string",
        "Appended to the URL, in this order and spelling: ?AccountID=aaa; "
        "?AccountID=aaa&CaseID=ccc; ?AccountID=aaa&CaseID=ccc&FollowupID=fff; "
        "?AccountID=aaa&TaskID=ttt.",
        _D,
        _PAGE,
        place="triggers.urls:RecordIds",
        test=f"{_CHANGES}::test_the_eleven_events_append_the_documented_strings_byte_for_byte",
    ),
    Assumption(
        "trigger.task-id",
        "TaskID carries the task's number; the page calls it the case identifier, a slip.",
        _A,
        _PAGE,
        place="triggers.urls:RecordIds",
        test=f"{_SWITCHES}::test_a_task_id_is_the_tasks_number_and_not_a_cases",
    ),
    Assumption(
        "trigger.existing-query",
        "A configured URL that already has a query is continued with &.",
        _A,
        _NONE,
        setting="trigger_query_continuation",
        test=f"{_SWITCHES}::test_a_query_is_continued_with_an_ampersand_or_by_a_second_question_mark",
    ),
    Assumption(
        "trigger.percent-encoded",
        "Values in the appended string are percent-encoded.",
        _A,
        _NONE,
        place="triggers.urls:trigger_url",
        test=f"{_PLACES}::test_values_in_a_trigger_are_percent_encoded",
    ),
    Assumption(
        "trigger.method",
        'The "HTTP method" is GET; POST sends the same query string with an empty body. A '
        "receiver takes both.",
        _A,
        _NONE,
        setting="trigger_method",
        test=f"{_SWITCHES}::test_triggers_are_get_or_post",
    ),
    Assumption(
        "trigger.https-required",
        "A secure https URL is required.",
        _D,
        _PAGE,
        place="triggers.urls:check_configured_url",
        test=f"{_SIMULATOR}/test_pages_config_manager.py::test_a_wrong_url_is_named_beside_its_box_and_what_was_saved_stays",
    ),
    Assumption(
        "trigger.https-checked-in-form",
        "The form refuses any other URL and keeps what was saved.",
        _A,
        _NONE,
        place="config_manager.forms:_check_url",
        test=f"{_SIMULATOR}/test_pages_config_manager.py::test_a_wrong_url_is_named_beside_its_box_and_what_was_saved_stays",
    ),
    Assumption(
        "trigger.success-is-200",
        "The response code 200 is success; anything else starts a retry mechanism.",
        _D,
        _PAGE,
        place="triggers.outcome:Outcome",
        test=f"{_SIMULATOR}/test_deliveries.py::test_what_is_not_a_whole_200_is_retried_after_5_s",
    ),
    Assumption(
        "trigger.failures",
        "Not 200 includes 201, 204, 3xx (redirects are not followed), 4xx, 5xx, a timeout, a "
        "refused or reset connection and a TLS failure.",
        _A,
        _NONE,
        setting="trigger_success",
        place="triggers.sender:Sender",
        test=f"{_SWITCHES}::test_which_answers_count_as_received",
    ),
    Assumption(
        "trigger.retry-schedule",
        "At once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h, each varied by 10 %, "
        "then exhausted after 27 h 35 min. A named quick schedule serves demos.",
        _A,
        _NONE,
        setting="retry_schedule",
        test=f"{_SWITCHES}::test_a_schedule_says_when_a_failed_call_is_repeated",
    ),
    Assumption(
        "trigger.timeout",
        "A trigger call has 15 s in all.",
        _A,
        _NONE,
        setting="trigger_timeout_s",
        test=f"{_SWITCHES}::test_a_call_has_as_long_as_the_setting_says",
    ),
    Assumption(
        "trigger.may-repeat",
        "A trigger may be called more than once for one change.",
        _A,
        _NONE,
        place="triggers.outbox:claim_due",
        test=f"{_SIMULATOR}/test_deliveries.py::test_a_delivery_killed_between_send_and_record_is_sent_again",
    ),
    Assumption(
        "trigger.agent-only",
        "Only actions that an agent takes in Agent Console fire. CRM API requests, bulk "
        "creation in Configuration Manager, CSV import and auto-log fire nothing.",
        _D,
        _PAGE,
        place="local_crm.changes:_note",
        test=f"{_CHANGES}::test_only_an_agents_changes_fire",
    ),
    Assumption(
        "trigger.email-creates",
        "Inbound email creates customers, cases and follow-ups, and may reopen closed cases.",
        _D,
        _EMAIL,
        setting="email_reopens_closed_case",
        place="local_crm.inbound_email:receive",
        test=f"{_SWITCHES}::test_an_email_reopens_a_closed_case_or_opens_a_new_one",
    ),
    Assumption(
        "trigger.email-silent",
        "What inbound email creates or reopens fires nothing.",
        _A,
        _EMAIL,
        setting="email_fires",
        test=f"{_SWITCHES}::test_inbound_email_fires_only_under_its_switch",
    ),
    Assumption(
        "trigger.edit-without-change",
        "Save without a change is an edit and fires.",
        _A,
        _NONE,
        setting="unchanged_edit_fires",
        test=f"{_SWITCHES}::test_save_without_a_change_fires_until_it_is_switched_off",
    ),
    Assumption(
        "trigger.event-not-sent",
        "The parameter names tell the kind; nothing but the URL tells the event. One URL for "
        "all boxes works, and a URL in the wrong box can be noticed.",
        _D,
        _PAGE,
        place="triggers.urls:trigger_url",
        test="tests/unit/receiver/test_trigger.py::test_a_url_in_the_wrong_box_is_taken_by_its_parameters",
    ),
    Assumption(
        "trigger.bare",
        "A trigger has no signature, time, event id, order or batching.",
        _A,
        _NONE,
        place="triggers.sender:HEADERS",
        test=f"{_PLACES}::test_a_trigger_says_nothing_but_its_url",
    ),
    Assumption(
        "trigger.delete-one",
        "Agents delete one record at a time.",
        _D,
        _DELETE,
        place="local_crm.changes:delete",
        test=f"{_SIMULATOR}/test_pages_agent_console.py::test_every_kind_is_created_edited_and_deleted_through_forms",
    ),
    Assumption(
        "trigger.delete-many",
        "Agents delete a selection (Delete Selected), told how many are selected and that all "
        "associated data goes too, or everything (Delete All, with their password).",
        _D,
        _DELETE,
        place="agent_console.deleting_all:delete_all",
        test=f"{_DELETES}::test_delete_all_asks_for_the_password",
    ),
    Assumption(
        "trigger.delete-tabs",
        "Delete, Delete Selected and Delete All stand on the three CRM tabs: customers, cases and "
        "tasks. Here a follow-up can be deleted too, one at a time: its Delete event needs a door.",
        _D,
        _DELETE,
        place="agent_console.screens:Screen",
        test=f"{_DELETES}::test_follow_ups_are_deleted_one_at_a_time",
    ),
    Assumption(
        "trigger.delete-selected-fires",
        "Each record of a selection that is deleted fires its own trigger.",
        _A,
        _NONE,
        setting="delete_selected_fires",
        test=f"{_SWITCHES}::test_delete_selected_fires_for_each_until_it_is_switched_off",
    ),
    Assumption(
        "trigger.delete-all-fires",
        "Delete All fires for each record, as if each were deleted by itself.",
        _A,
        _NONE,
        setting="delete_all_fires",
        test=f"{_SWITCHES}::test_delete_all_fires_for_each_until_it_is_switched_off",
    ),
    Assumption(
        "trigger.delete-all-of-tab",
        "Delete All deletes every record of the tab's kind, not only what a search has found, and "
        "no record that is created while it runs.",
        _A,
        _NONE,
        place="local_crm.delete_all:delete_all",
        test=f"{_DELETES}::test_delete_all_takes_all_of_a_kind_whatever_was_searched_for",
    ),
    Assumption(
        "trigger.delete-takes-children",
        "Deleting a customer removes its cases, follow-ups and attachments, deleting a case its "
        "follow-ups and attachments; nothing can be restored. (Attachments are not simulated.)",
        _D,
        _DELETE,
        place="local_crm.removal:GOES_WITH",
        test=f"{_CHANGES}::test_deleting_a_customer_takes_all_with_it_and_fires_once",
    ),
    Assumption(
        "trigger.delete-takes-tasks",
        "A customer's tasks go with it.",
        _A,
        _NONE,
        place="local_crm.removal:GOES_WITH",
        test=f"{_PLACES}::test_a_customers_tasks_go_with_it",
    ),
    Assumption(
        "trigger.delete-cascade",
        "Only the object that the agent deleted fires, not what goes with it.",
        _A,
        _NONE,
        setting="delete_cascade_fires",
        test=f"{_SWITCHES}::test_what_goes_with_a_deleted_record_fires_only_under_its_switch",
    ),
    Assumption(
        "exchange.steps",
        "An agent changes a record; the URL is called if one is specified; the external process "
        "reads the record through the CRM API, updates its database, and sends the Local CRM "
        "what is needed to synchronise the two.",
        _D,
        _EXCHANGE,
        place="crm_api.routes:_run",
        test=f"{_PLACES}::test_a_change_is_announced_read_and_answered_without_an_echo",
    ),
    Assumption(
        "exchange.write-back",
        "That last step goes through the CRM API and so fires no trigger.",
        _A,
        _EXCHANGE,
        place="crm_api.write:modify",
        test=f"{_PLACES}::test_a_change_is_announced_read_and_answered_without_an_echo",
    ),
    Assumption(
        "api.wapi-endpoint",
        "POST {cluster}/WAPI/wapi.php, application/x-www-form-urlencoded, one field xml_query "
        "holding <WAPI><TENANT/><USERNAME/><PASSWORD/><COMMAND OBJECT ACTION>filters or "
        "fields</COMMAND></WAPI>.",
        _C,
        _CLIENTS,
        place="crm_api.routes:wapi",
        test=f"{_GOLDEN}::test_requests_and_replies_byte_for_byte",
    ),
    Assumption(
        "api.raw-query",
        "The XML in xml_query comes percent-encoded, or raw with newlines and leading spaces.",
        _C,
        _CLIENTS,
        place="crm_api.parse:_xml_query",
        test=f"{_PARSE}::test_raw_and_encoded_queries_are_the_same_call",
    ),
    Assumption(
        "api.raw-query-decoded",
        "A raw +, % or & suffers what form decoding does to it: + is a space, & cuts the field.",
        _C,
        f"{_CLIENTS}; the vendor's guide has a chapter on special characters",
        setting="api_raw_query",
        test=f"{_SWITCHES}::test_a_raw_query_is_decoded_or_read_as_it_was_sent",
    ),
    Assumption(
        "api.cc-endpoint",
        "POST {base}/cc/v1/wapi, application/xml, headers X-8x8-Tenant and x-api-key; the body "
        "is the bare COMMAND element, possibly after white space.",
        _C,
        _CLIENTS,
        place="crm_api.routes:cc_wapi",
        test=f"{_CALLERS}::test_a_bare_command_may_follow_any_white_space",
    ),
    Assumption(
        "api.action-case",
        "ACTION is written GET, Get or Add: case does not matter.",
        _C,
        _CLIENTS,
        place="crm_api.routes:_run",
        test=f"{_GET}::test_the_case_of_an_action_does_not_matter",
    ),
    Assumption(
        "api.objects",
        "OBJECT is Customer, Case or Task.",
        _C,
        _CLIENTS,
        place="crm_api.routes:_KINDS",
        test=f"{_GOLDEN}::test_requests_and_replies_byte_for_byte",
    ),
    Assumption(
        "api.followup-object",
        "Followup is an OBJECT too.",
        _A,
        _NONE,
        place="crm_api.routes:_KINDS",
        test=f"{_PLACES}::test_followup_is_an_object",
    ),
    Assumption(
        "api.object-case",
        "OBJECT and the tags inside COMMAND may be written in any case.",
        _A,
        _NONE,
        setting="api_case_matters",
        test=f"{_SWITCHES}::test_the_case_of_objects_and_tags_matters_only_under_its_switch",
    ),
    Assumption(
        "api.faq",
        "FAQ is an OBJECT as well; it is left out here.",
        _D,
        _DOCS,
        place="crm_api.routes:_kind",
        test=f"{_GOLDEN}::test_requests_and_replies_byte_for_byte",
    ),
    Assumption(
        "api.encodings",
        "A request is in UTF-8, US-ASCII or ISO-8859-1; a DOCTYPE, control characters and deep "
        "nesting are refused.",
        _A,
        _NONE,
        place="crm_api.parse:_parse",
        test=f"{_PARSE}::test_a_command_that_cannot_be_read_is_refused",
    ),
    Assumption(
        "api.lying-encoding",
        "A request in another encoding than it declares is refused; declared ISO-8859-1 that is "
        "well-formed UTF-8 counts as such.",
        _A,
        _NONE,
        place="crm_api.parse:_check_encoding",
        test=f"{_PARSE}::test_a_command_that_cannot_be_read_is_refused",
    ),
    Assumption(
        "api.body-limit",
        "A request body of more than 1 MB is refused by an error reply.",
        _A,
        _NONE,
        setting="api_body_limit_bytes",
        test=f"{_SWITCHES}::test_the_limit_of_a_body_is_a_setting",
    ),
    Assumption(
        "api.duplicate-tags",
        "A tag that is given twice is an error.",
        _A,
        _NONE,
        place="crm_api.tags:read_tags",
        test=f"{_PLACES}::test_a_tag_that_is_given_twice_is_refused",
    ),
    Assumption(
        "api.reply",
        '<?xml version="1.0" encoding="ISO-8859-1"?><WAPI><REPLY STATUS="0" ERROR_STR="" '
        'ERROR_CODE="0"> <ITEM>...</ITEM> </REPLY></WAPI>, one ITEM a record, HTTP 200.',
        _C,
        _CLIENTS,
        place="crm_api.render:reply_chunks",
        test=f"{_GOLDEN}::test_requests_and_replies_byte_for_byte",
    ),
    Assumption(
        "api.root",
        "The root is WAPI in the vendor-written client; another client reads the upper-cased "
        "user name there.",
        _C,
        _CLIENTS,
        setting="api_reply_root",
        test=f"{_SWITCHES}::test_the_root_is_wapi_or_the_user_name",
    ),
    Assumption(
        "api.nothing-found",
        'Nothing found is STATUS="0" without an ITEM.',
        _C,
        _CLIENTS,
        place="crm_api.render:reply_chunks",
        test="tests/unit/simulator/test_crm_api_render.py::test_nothing_found_is_a_success_without_item",
    ),
    Assumption(
        "api.error-reply",
        'A failure is <REPLY STATUS="-1" ERROR_STR="The value test of the tag firstname is not '
        'valid." ERROR_CODE="5"/> with HTTP 200.',
        _C,
        _CLIENTS,
        place="crm_api.render:error_reply",
        test="tests/unit/simulator/test_crm_api_render.py::test_an_error_has_number_and_sentence",
    ),
    Assumption(
        "api.email-taken",
        "Adding a customer whose email exists gives the error code 81.",
        _C,
        _CLIENTS,
        place="crm_api.errors:Refusal",
        test=f"{_CALLERS}::test_a_lead_is_looked_up_added_and_given_a_task",
    ),
    Assumption(
        "api.error-codes",
        "All other error codes and sentences (bad credentials, no right, unknown object, "
        "malformed XML, no filter, ...).",
        _A,
        _NONE,
        place="crm_api.errors:Refusal",
        test=f"{_GOLDEN}::test_every_refusal_has_a_reply_among_the_files",
    ),
    Assumption(
        "api.add-numbers",
        "Add answers with the new record's number in its tag: ACCOUNTNUM, TASKNUM.",
        _C,
        _CLIENTS,
        place="crm_api.render:number_reply",
        test=f"{_WRITE}::test_an_addition_answers_with_the_number_and_fires_nothing",
    ),
    Assumption(
        "api.add-reply",
        "So it does with CASENUM and FOLLOWUPNUM; the tag stands in REPLY, not in an ITEM.",
        _A,
        _NONE,
        setting="api_add_reply",
        test=f"{_SWITCHES}::test_add_answers_with_a_bare_number_or_an_item",
    ),
    Assumption(
        "api.modify-names",
        "Modify names the record by its number's tag; what is not given stays, an empty element "
        "clears.",
        _A,
        _NONE,
        place="crm_api.write:modify",
        test=f"{_WRITE}::test_a_modification_changes_what_is_given_and_fires_nothing",
    ),
    Assumption(
        "api.modify-reply",
        "Modify answers with an empty REPLY.",
        _A,
        _NONE,
        setting="api_modify_reply",
        test=f"{_SWITCHES}::test_modify_answers_with_nothing_or_the_number",
    ),
    Assumption(
        "api.rights",
        "Add, Modify and Get are granted per kind of object; Followup has no Modify; the API "
        "cannot delete; rights do not come from the identity it acts as.",
        _D,
        _TAB,
        place="crm_api.routes:_run",
        test=f"{_WRITE}::test_each_right_is_needed_and_no_other",
    ),
    Assumption(
        "api.identity",
        "What the API changes carries the Used Identity.",
        _A,
        _TAB,
        place="crm_api.routes:_run",
        test=f"{_WRITE}::test_an_addition_answers_with_the_number_and_fires_nothing",
    ),
    Assumption(
        "api.tab",
        "The tab has Enable CRM API Access, CRM API username, Password, Retype Password, Used "
        "Identify (sic) and Access Rights; the user name may not be an agent's.",
        _D,
        _TAB,
        place="config_manager.forms:ApiForm",
        test=f"{_SIMULATOR}/test_pages_config_manager.py::test_the_crm_api_tab_saves_all_its_fields",
    ),
    Assumption(
        "api.tenant-and-key-in-tab",
        "Tenant and API key are set in the same tab.",
        _A,
        _NONE,
        place="config_manager.forms:ApiForm",
        test=f"{_SIMULATOR}/test_pages_config_manager.py::test_the_crm_api_tab_saves_all_its_fields",
    ),
    Assumption(
        "api.rate-limit",
        "There is no rate limit; where one is set, a call too many is answered with HTTP 429 "
        "and Retry-After.",
        _A,
        _NONE,
        setting="api_rate_limit_per_minute",
        test=f"{_SWITCHES}::test_calls_are_limited_only_where_the_setting_says_so",
    ),
    Assumption(
        "api.row-cap",
        "There is no limit of a reply's size; where one is set, the reply is cut there.",
        _A,
        _NONE,
        setting="api_row_cap",
        test=f"{_SWITCHES}::test_a_reply_is_cut_only_where_the_setting_says_so",
    ),
    Assumption(
        "api.characters",
        "Characters outside ISO-8859-1 in a reply are numeric character references.",
        _A,
        _NONE,
        setting="api_characters",
        test=f"{_SWITCHES}::test_characters_beyond_latin_1_are_references_or_question_marks",
    ),
    Assumption(
        "api.filters",
        "Customer: FIRSTNAME LASTNAME EMAIL VOICE COMPANY ACCOUNTNUM CUSTOMERTYPE; Case: "
        "CASENUM ACCOUNTNUM LASTNAME COMPANY STATUS PROJECT SUBJECT; Task: ASSIGNEDTO "
        "TASK_STATUS. All that are given must match, exactly; LASTNAME, COMPANY and SUBJECT of "
        "a case match in part. Custom fields by name.",
        _C,
        _CLIENTS,
        place="crm_api.filters:select_matching",
        test=f"{_GET}::test_filters",
    ),
    Assumption(
        "api.more-filters",
        "Task: TASKNUM ACCOUNTNUM; Followup: FOLLOWUPNUM CASENUM ACCOUNTNUM.",
        _A,
        _NONE,
        setting="api_more_filters",
        test=f"{_SWITCHES}::test_filters_that_nobody_has_shown_can_be_taken_away",
    ),
    Assumption(
        "api.partial-match",
        "A partial match may be anywhere in the value, in any case.",
        _A,
        _NONE,
        setting="api_partial_match",
        test=f"{_SWITCHES}::test_a_partial_match_is_anywhere_or_at_the_beginning",
    ),
    Assumption(
        "api.no-filter",
        "A GET without a filter is an error; an empty filter element counts as not given.",
        _A,
        _NONE,
        setting="api_get_without_filter",
        test=f"{_SWITCHES}::test_a_get_without_a_filter_is_an_error_or_all",
    ),
    Assumption(
        "api.unknown-filter",
        "A tag that is not known, or no filter of the object, is an error, not ignored.",
        _A,
        _NONE,
        setting="api_unknown_tags",
        test=f"{_SWITCHES}::test_unknown_tags_are_refused_or_ignored",
    ),
    Assumption(
        "api.number-filter",
        "A number that is not decimal fails the value test.",
        _A,
        _NONE,
        place="crm_api.filters:_condition",
        test=f"{_PLACES}::test_a_number_with_letters_fails_the_value_test",
    ),
    Assumption(
        "api.no-paging",
        "There is no filter by change time and no paging; a tenant is enumerated by "
        "CUSTOMERTYPE, STATUS, CASENUM, ACCOUNTNUM or TASK_STATUS, or by probing numbers.",
        _A,
        _NONE,
        place="crm_api.filters:EXACT",
        test=f"{_PLACES}::test_a_tenant_can_be_enumerated_and_not_by_time",
    ),
    Assumption(
        "records.customer-tags",
        "The tags of a customer ITEM and their order; customertype is in lower case; custom "
        "fields follow.",
        _C,
        _CLIENTS,
        place="local_crm.fields:FIELDS",
        test=f"{_CALLERS}::test_each_way_of_calling_reads_each_object_with_its_tags_in_order",
    ),
    Assumption(
        "records.customer-add-tags",
        "Add Customer also takes AUTOPASSWD and custom tags such as queue_id.",
        _C,
        _CLIENTS,
        place="crm_api.tags:read_tags",
        test=f"{_WRITE}::test_autopasswd_makes_a_password_that_nobody_is_told",
    ),
    Assumption(
        "records.password",
        "Add Customer takes PASSWORD, 15 characters at most; it is never given out.",
        _A,
        _IMPORT,
        place="local_crm.passwords:keep",
        test=f"{_WRITE}::test_a_password_is_kept_as_a_hash_and_shown_nowhere",
    ),
    Assumption(
        "records.case-tags",
        "The tags of a case ITEM and their order, then custom fields, whose tags may have a "
        "dot: CF01_PICKLIST.NAME.",
        _C,
        _CLIENTS,
        place="local_crm.fields:FIELDS",
        test=f"{_CALLERS}::test_each_way_of_calling_reads_each_object_with_its_tags_in_order",
    ),
    Assumption(
        "records.custom-tag",
        "The tag of a custom field is its name; a case's has .NAME after it. Requests may use "
        "the name alone.",
        _A,
        _CLIENTS,
        setting="custom_tag_suffix",
        test=f"{_SWITCHES}::test_a_cases_custom_tag_has_the_suffix_of_the_setting",
    ),
    Assumption(
        "records.case-values",
        "STATUS Open, PRIORITY High, SEVERITY Information, CATEGORY Default, PROJECT Default, "
        "VISIBILITY Private and MEDIATYPE Phone are values of a case.",
        _C,
        _CLIENTS,
        place="local_crm.fields:FIELDS",
        test=f"{_PLACES}::test_the_values_that_clients_show_are_taken",
    ),
    Assumption(
        "records.pick-lists",
        "All other values of the predefined pick lists, the lengths of what no page gives a "
        "length for, and that a subject is mandatory.",
        _A,
        _NONE,
        place="local_crm.fields:FIELDS",
        test=f"{_PLACES}::test_a_subject_is_mandatory_and_a_pick_list_has_its_own_values",
    ),
    Assumption(
        "records.task-tags",
        "Add Task takes ACCOUNTNUM SUBJECT DESCRIPTION TASK_STATUS (Pending) ASSIGNEDTO (an "
        "agent id) CALL_TYPE (DAA) MEDIA_TYPE (Phone) MIDDLEWARE_URL PHONE EMAIL DUEDATE, and "
        "answers with TASKNUM.",
        _C,
        _CLIENTS,
        place="local_crm.fields:FIELDS",
        test=f"{_CALLERS}::test_a_lead_is_looked_up_added_and_given_a_task",
    ),
    Assumption(
        "records.task-reply-tags",
        "A task ITEM has TASKNUM, the tags of Add, and CREATEDBY CREATEDDATE LASTMODDATE "
        "TRANSACTIONID PARENTTASKNUM.",
        _A,
        _NONE,
        place="local_crm.fields:FIELDS",
        test=f"{_CALLERS}::test_each_way_of_calling_reads_each_object_with_its_tags_in_order",
    ),
    Assumption(
        "records.followup-tags",
        "ACCOUNTNUM CASENUM FOLLOWUPNUM SUBJECT BODY DIRECTION MEDIATYPE VISIBILITY CREATEDBY "
        "CREATEDDATE, then custom fields.",
        _A,
        _NONE,
        place="local_crm.fields:FIELDS",
        test=f"{_CALLERS}::test_each_way_of_calling_reads_each_object_with_its_tags_in_order",
    ),
    Assumption(
        "records.dates",
        "Dates on the wire are MMDDYYYY; a task's DUEDATE is MMDDYYYYHHMM when added.",
        _C,
        _CLIENTS,
        place="local_crm.fields:read_wire_date",
        test=f"{_WRITE}::test_a_due_date_has_hours_and_minutes",
    ),
    Assumption(
        "records.dates-in-utc",
        "Dates on the wire are in UTC.",
        _A,
        _NONE,
        setting="api_time_zone",
        test=f"{_SWITCHES}::test_dates_are_in_the_zone_of_the_setting",
    ),
    Assumption(
        "records.duedate",
        "A task's DUEDATE has its time in replies too.",
        _A,
        _NONE,
        setting="api_duedate_reply",
        test=f"{_SWITCHES}::test_a_due_date_comes_back_with_its_time_or_without",
    ),
    Assumption(
        "records.no-order",
        "No field of a record orders two versions of it.",
        _A,
        _NONE,
        place="local_crm.fields:FIELDS",
        test=f"{_PLACES}::test_two_changes_of_one_day_cannot_be_put_in_order",
    ),
    Assumption(
        "records.empty-element",
        "An empty value is an empty element.",
        _C,
        _CLIENTS,
        place="crm_api.render:_element",
        test="tests/unit/simulator/test_crm_api_render.py::test_an_empty_value_is_an_empty_element",
    ),
    Assumption(
        "records.lengths",
        "First and Last Name 30, Company 50, Voice, Fax and Alternative 38, Password 15, "
        "Comments 400, address line 50, city 50, state 40, zip 30, country 15 characters.",
        _D,
        _IMPORT,
        place="local_crm.fields:FIELDS",
        test=f"{_PLACES}::test_each_length_fits_and_one_more_does_not",
    ),
    Assumption(
        "records.email-length",
        "An email has at most 254 characters, as on the newer agent page; the import page says 40.",
        _D,
        f"8x8: agent page; {_IMPORT}",
        setting="email_max_length",
        test=f"{_SWITCHES}::test_an_email_may_be_as_long_as_the_setting_says",
    ),
    Assumption(
        "records.custom-lengths",
        "A custom Text has up to 4000 bytes, a custom Number 255 characters.",
        _D,
        _IMPORT,
        place="local_crm.fields:_CUSTOM_LIMITS",
        test=f"{_WRITE}::test_4000_bytes_fit_and_one_more_in_2000_characters_does_not",
    ),
    Assumption(
        "records.names-required",
        "First and last name are mandatory.",
        _D,
        _DOCS,
        place="local_crm.fields:FIELDS",
        test=f"{_WRITE}::test_a_call_that_breaks_a_rule_is_refused_and_changes_nothing",
    ),
    Assumption(
        "records.email-unique",
        "Emails of customers are unique.",
        _D,
        _DOCS,
        place="local_crm.verdicts:judge",
        test=f"{_WRITE}::test_a_call_that_breaks_a_rule_is_refused_and_changes_nothing",
    ),
    Assumption(
        "records.email-optional",
        "Several customers may have no email.",
        _A,
        _NONE,
        place="local_crm.verdicts:judge",
        test=f"{_CHANGES}::test_a_customer_may_keep_its_own_email_and_many_may_have_none",
    ),
    Assumption(
        "records.email-case",
        "Upper and lower case do not make emails differ.",
        _A,
        _NONE,
        place="local_crm.verdicts:judge",
        test=f"{_WRITE}::test_a_call_that_breaks_a_rule_is_refused_and_changes_nothing",
    ),
    Assumption(
        "records.custom-types",
        "A custom field is Text, URL, Number, Date or Pick List, not changeable once saved; "
        "name and label have up to 32 characters, the default 85; Text, URL and Number have a "
        "maximum length.",
        _D,
        _FIELDS_PAGE,
        place="local_crm.fields:check_definition",
    ),
    Assumption(
        "records.field-classes",
        "System-predefined fields are view only; predefined ones can be edited but not created "
        "or deleted; custom ones all three.",
        _D,
        _FIELDS_PAGE,
        place="local_crm.fields:FieldClass",
    ),
    Assumption(
        "records.parents",
        "A case belongs to a customer, a follow-up to a case, a task to a customer.",
        _D,
        _DOCS,
        place="local_crm.verdicts:parent_columns",
        test=f"{_WRITE}::test_what_was_added_can_be_added_to",
    ),
    Assumption(
        "records.followup-leaves-case",
        "Creating a follow-up does not touch its case.",
        _A,
        _NONE,
        place="local_crm.changes:create",
        test=f"{_CHANGES}::test_a_followup_belongs_to_the_customer_of_its_case_and_leaves_the_case",
    ),
    Assumption(
        "records.csv-import",
        "CSV import: at most 50,000 records a session, loaded 100 at a time; columns are mapped "
        "to fields; dates MM/DD/YYYY; a pick-list value must be one of the list; an error "
        "message for each record that could not be loaded.",
        _D,
        _IMPORT,
        place="local_crm.csv_import:import_csv",
    ),
    Assumption(
        "records.auto-log",
        "After an interaction the system creates a task and ties it to the customer.",
        _D,
        _DOCS,
        place="local_crm.auto_log:auto_log",
    ),
    Assumption(
        "records.decimal-numbers",
        "ACCOUNTNUM and CASENUM are decimal numbers such as 10000000 and 10000052.",
        _C,
        _CLIENTS,
        place="local_crm.changes:next_numbers",
        test=f"{_GOLDEN}::test_requests_and_replies_byte_for_byte",
    ),
    Assumption(
        "records.numbers-in-sequence",
        "Numbers are handed out in sequence, for each kind from 10000000 on.",
        _A,
        _NONE,
        setting="first_number",
        test=f"{_SWITCHES}::test_numbers_begin_where_the_setting_says",
    ),
    Assumption(
        "records.opaque-ids",
        "A receiver treats every identifier as an opaque string of at most 64 characters from "
        "A-Z a-z 0-9 - _ . (dot).",
        _A,
        _NONE,
        place="receiver.trigger:_ID",
        test="tests/unit/receiver/test_trigger.py::test_what_is_no_trigger_gets_a_sentence",
    ),
)

BY_ID: dict[str, Assumption] = {line.id: line for line in ASSUMPTIONS}

_INTRODUCTION = """# What is known, and what is assumed

Every line says what the simulator takes the 8x8 side to do, and how that is known:
**D** documented by the vendor, **C** seen in public client code that talks to the real service,
**A** assumed by this project. An assumption is a setting (a variable CRM_SIM_...), or stands in
one place under `simulator/`; the test named beside it would fail if that changed.
Generated from `simulator/assumptions.py`; change it there.
"""


def render_fidelity(grade: Grade | None = None) -> str:
    """The text of FIDELITY.md: one table for each area; with a grade, its lines alone."""
    parts = [_INTRODUCTION]
    for area, title in AREAS.items():
        lines = [a for a in ASSUMPTIONS if a.area == area and grade in (None, a.grade)]
        if lines:
            parts.append(f"\n## {title}\n\n| id | what | grade | source | where | test |\n")
            parts.append("|---|---|---|---|---|---|\n")
            parts.extend(_table_row(line) for line in lines)
    return "".join(parts)


def _table_row(line: Assumption) -> str:
    statement = line.statement.replace("|", "\\|").replace("<", "&lt;")
    where = [f"setting `{line.setting}`"] if line.setting else []
    where += [f"`{line.place}`"] if line.place else []
    test = f"`{line.test}`" if line.test else ""
    cells = (f"`{line.id}`", statement, line.grade.value, line.source, ", ".join(where), test)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(render_fidelity())
