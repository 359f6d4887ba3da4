// Functions of users that Tidemark calls by itself: handlers of projections, upcasters. They run with the rights of who
// registered them and with the search_path that was set then, whoever it is that appends or reads: as functions that
// are SECURITY DEFINER and have a search_path of their own.
#pragma once

#include "pg_compat.h"

#include <initializer_list>
#include <string_view>

namespace tidemark {

struct UserFunction {
    Oid function;  // InvalidOid: there is none of that name any more
    Oid argument;  // the type of its only argument
};

// The function that a caller names, with or without the type of its argument behind it, by the caller's search_path: of
// the result type, with one argument of one of the types. Throws 42883 where there is none, 42725 where the name means
// several, 42501 where the caller may not call it. `what` it is to be goes into the message.
UserFunction find_user_function(std::string_view given, std::initializer_list<Oid> arguments, Oid result,
                                const char* what);

// Its schema and name, quoted where need be: what is stored of it; and the function again.
const char* qualified_name(Oid function);
Oid function_of_name(const char* qualified_name, Oid argument);

// The name of the current user, and the search_path as it is kept: with pg_temp last, where no caller's temporary
// tables can come before others.
const char* current_role_name();
const char* search_path_to_keep();

// The role of that name. Throws 42704 where it is gone; `what` was registered by it goes into the message.
Oid registrant(const char* role, const char* what);

// Throws 42501 unless the role may call the function.
void check_may_call(Oid function, Oid role);

// The name of a function's owner, which is kept with it; and whether the owner is still that one, or the registrant, or
// a superuser: somebody else may have made a function of the name since. check_is_trusted throws 42501.
const char* function_owner_name(Oid function);
bool is_trusted(Oid function, const char* owner_at_registration, Oid registrant);
void check_is_trusted(Oid function, const char* owner_at_registration, Oid registrant);

// In which registered functions run. Code of somebody who could not do it himself must not leave anything behind that
// runs with the rights of the session's user later: deferred triggers, cursors WITH HOLD, temporary objects, prepared
// statements and SET ROLE are refused then. An error that ends the (sub)transaction ends the scope too.
class RegistrantScope {
  public:
    enum class Code { USERS, OURS };
    void begin(Oid role, const char* search_path, Code code = Code::USERS);
    // Sets what else the function's work depends on, until the end.
    void set(const char* setting, const char* value) const;
    void end() const;

  private:
    Oid caller;
    int caller_context;
    int guc_level;
};

}  // namespace tidemark
