#include "user_function.h"

#include "errors.h"
#include "guard.h"
#include "validate.h"

#include <algorithm>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "parser/parse_func.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"
}

namespace tidemark {

namespace {

char* terminated(std::string_view text) { return pnstrdup(text.data(), text.size()); }

sql_error not_found(std::string_view given, std::initializer_list<Oid> arguments, Oid result, const char* what) {
    const char* signatures = "";
    for (const Oid argument : arguments)
        signatures = psprintf("%s%sfunction(%s) returning %s", signatures, *signatures == '\0' ? "" : ", or ",
                              format_type_be(argument), format_type_be(result));
    return {ERRCODE_UNDEFINED_FUNCTION, std::string("there is no such ") + what, "It is " + quoted(given) + ".",
            std::string("It must be a ") + signatures + "."};
}

// The function's row in the catalog, to be released. Nothing locks a function: it may have been dropped a moment ago.
HeapTuple catalog_row(Oid function) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        throw sql_error(ERRCODE_UNDEFINED_FUNCTION, "a function was dropped meanwhile",
                        "Its OID was " + std::to_string(function) + ".", "Try again.");
    return tuple;
}

Form_pg_proc form(HeapTuple tuple) { return reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple)); }

// Of a plain function that returns one value of the type.
bool fits(Oid function, Oid result) {
    HeapTuple tuple = catalog_row(function);
    const bool fits =
        form(tuple)->prokind == PROKIND_FUNCTION && !form(tuple)->proretset && form(tuple)->prorettype == result;
    ReleaseSysCache(tuple);
    return fits;
}

Oid owner_of(Oid function) {
    HeapTuple tuple = catalog_row(function);
    const Oid owner = form(tuple)->proowner;
    ReleaseSysCache(tuple);
    return owner;
}

// InvalidOid where there is none.
Oid function_of_signature(std::string_view signature) {
    LOCAL_FCINFO(fcinfo, 1);
    InitFunctionCallInfoData(*fcinfo, nullptr, 1, InvalidOid, nullptr, nullptr);
    fcinfo->args[0] = {PointerGetDatum(make_text(signature)), false};
    const Datum function = to_regprocedure(fcinfo);
    return fcinfo->isnull ? InvalidOid : DatumGetObjectId(function);
}

}  // namespace

UserFunction find_user_function(std::string_view given, std::initializer_list<Oid> arguments, Oid result,
                                const char* what) {
    const bool has_argument = given.find('(') != std::string_view::npos;
    if (given.find_first_not_of(' ') == std::string_view::npos || (has_argument && !given.ends_with(')')))
        throw not_found(given, arguments, result, what);
    UserFunction found = {};
    int count = 0;
    const auto consider = [&](Oid function, Oid argument) {
        if (!OidIsValid(function) || !fits(function, result)) return;
        found = {function, argument};
        count++;
    };
    if (has_argument) {
        const Oid function = function_of_signature(given);
        for (const Oid argument : arguments)
            if (OidIsValid(function) && get_func_nargs(function) == 1 &&
                function_of_name(qualified_name(function), argument) == function)
                consider(function, argument);
    } else {
        for (const Oid argument : arguments)
            consider(LookupFuncName(compat::qualified_name_list(terminated(given)), 1, &argument, true), argument);
    }
    if (count == 0) throw not_found(given, arguments, result, what);
    if (count > 1)
        throw sql_error(ERRCODE_AMBIGUOUS_FUNCTION, std::string("the name of the ") + what + " means several functions",
                        "It is " + quoted(given) + ".", "Give the type of its argument too, in parentheses.");
    check_may_call(found.function, GetUserId());
    return found;
}

const char* qualified_name(Oid function) {
    HeapTuple tuple = catalog_row(function);
    const char* schema = get_namespace_name(form(tuple)->pronamespace);
    const char* name = quote_qualified_identifier(schema ? schema : "", NameStr(form(tuple)->proname));
    ReleaseSysCache(tuple);
    return name;
}

Oid function_of_name(const char* qualified_name, Oid argument) {
    List* names = compat::qualified_name_list(qualified_name);
    if (!OidIsValid(LookupExplicitNamespace(strVal(linitial(names)), true))) return InvalidOid;
    return LookupFuncName(names, 1, &argument, true);
}

const char* current_role_name() { return GetUserNameFromId(GetUserId(), false); }

const char* search_path_to_keep() {
    const char* separator = "";
    StringInfoData path;
    initStringInfo(&path);
    List* schemas = NIL;
    ListCell* cell;
    SplitIdentifierString(pstrdup(namespace_search_path), ',', &schemas);
    foreach (cell, schemas) {
        const char* schema = static_cast<const char*>(lfirst(cell));
        if (strcmp(schema, "pg_temp") == 0) continue;
        // Nobody is to come before the others by making a schema of that name later.
        if (strcmp(schema, "$user") == 0) {
            schema = current_role_name();
            if (!OidIsValid(get_namespace_oid(schema, true))) continue;
        }
        appendStringInfo(&path, "%s%s", separator, quote_identifier(schema));
        separator = ", ";
    }
    appendStringInfo(&path, "%spg_temp", separator);
    return path.data;
}

Oid registrant(const char* role, const char* what) {
    const Oid oid = get_role_oid(role, true);
    if (!OidIsValid(oid))
        throw sql_error(ERRCODE_UNDEFINED_OBJECT, "a role is missing",
                        std::string("It is ") + quoted(role) + ", with whose rights " + what + " runs.",
                        "Create the role, or drop what it has registered and register that anew.");
    return oid;
}

void check_may_call(Oid function, Oid role) {
    if (compat::may_execute(function, role)) return;
    const char* detail =
        psprintf("Role \"%s\" may not call %s().", GetUserNameFromId(role, false), qualified_name(function));
    throw sql_error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for a registered function", detail,
                    "GRANT EXECUTE on it.");
}

const char* function_owner_name(Oid function) { return GetUserNameFromId(owner_of(function), false); }

bool is_trusted(Oid function, const char* owner_at_registration, Oid registrant) {
    const Oid owner = owner_of(function);
    return owner == registrant || superuser_arg(owner) || owner == get_role_oid(owner_at_registration, true);
}

void check_is_trusted(Oid function, const char* owner_at_registration, Oid registrant) {
    if (is_trusted(function, owner_at_registration, registrant)) return;
    const char* detail = psprintf("%s() is owned by \"%s\" now; when it was registered \"%s\" owned it.",
                                  qualified_name(function), function_owner_name(function), owner_at_registration);
    throw sql_error(ERRCODE_INSUFFICIENT_PRIVILEGE, "a registered function is another role's now", detail,
                    "Give it back to that role, or drop what calls it and register it anew.");
}

void RegistrantScope::begin(Oid role, const char* search_path, Code code) {
    guc_level = NewGUCNestLevel();
    GetUserIdAndSecContext(&caller, &caller_context);
    const bool is_restricted = code == Code::USERS && role != caller && !superuser_arg(role);
    SetUserIdAndSecContext(
        role, caller_context | SECURITY_LOCAL_USERID_CHANGE | (is_restricted ? SECURITY_RESTRICTED_OPERATION : 0));
    set("search_path", search_path);
}

void RegistrantScope::set(const char* setting, const char* value) const {
    const char* present = GetConfigOption(setting, false, false);
    if (strcmp(present, value) != 0)
        set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void RegistrantScope::end() const {
    AtEOXact_GUC(false, guc_level);  // undoes what the function has set, too
    SetUserIdAndSecContext(caller, caller_context);
}

}  // namespace tidemark
