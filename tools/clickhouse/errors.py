"""What the engine says when it fails, and the HTTP status that goes with it."""

import re

# As ClickHouse's own server maps them; every other one is 500.
STATUS = {
    400: """BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME
        CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_ESCAPE_SEQUENCE CANNOT_PARSE_INPUT_ASSERTION_FAILED
        CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_NUMBER CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_TEXT
        CANNOT_PARSE_UUID DUPLICATE_COLUMN ILLEGAL_COLUMN INCORRECT_DATA SYNTAX_ERROR THERE_IS_NO_COLUMN TOO_BIG_AST
        TOO_DEEP_AST TYPE_MISMATCH UNEXPECTED_AST_STRUCTURE UNKNOWN_ELEMENT_IN_AST UNKNOWN_TYPE_OF_AST_NODE
        VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE""",
    401: "REQUIRED_PASSWORD",
    403: "ACCESS_DENIED AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE UNKNOWN_USER WRONG_PASSWORD",
    404: """UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_DATABASE UNKNOWN_DATABASE_ENGINE UNKNOWN_DIRECTION_OF_SORTING
        UNKNOWN_FORMAT UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_ROLE UNKNOWN_SETTING UNKNOWN_STORAGE UNKNOWN_TABLE
        UNKNOWN_TYPE UNKNOWN_TYPE_OF_QUERY""",
    408: "TIMEOUT_EXCEEDED",
    413: "QUERY_IS_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    501: "NOT_IMPLEMENTED",
    503: "CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK SOCKET_TIMEOUT",
}
STATUS = {name: status for status, names in STATUS.items() for name in names.split()}


class EngineError(Exception):
    """An exception of the engine, or one in its words: `Code: 60. DB::Exception: … (UNKNOWN_TABLE) (version …)`."""

    def __init__(self, code, name, message, version):
        super().__init__(f"Code: {code}. DB::Exception: {message} ({name}) (version {version})")
        self.code = code
        self.status = STATUS.get(name, 500)

    @classmethod
    def of(cls, text, version):
        """Of what the Python module raises: the engine's text, perhaps with words of the module before it."""
        found = re.search(r"Code: (\d+)\. DB::Exception: (.*) \(([A-Z0-9_]+)\)(?: \(version [^()]*\))?\s*$", text, re.S)
        if found is None:
            return cls(1001, "STD_EXCEPTION", text.strip(), version)
        return cls(int(found[1]), found[3], found[2], version)
