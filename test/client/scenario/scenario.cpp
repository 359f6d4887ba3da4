// The scenario by the C++ client, with statements of one's own and bound parameters.
//
//   scenario CONNINFO SCENARIO
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

namespace {

// Argument names in the order of the file; ordered_json keeps them.
using Step = nlohmann::ordered_json;

constexpr std::size_t MOST_PARAMETERS = 8;

// An array of texts is an array, any other and an object are JSON.
Parameter parameter(const Step& value) {
    if (value.is_null()) return std::nullopt;
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_number()) return value.get<std::int64_t>();
    if (value.is_array() && !value.empty() && value[0].is_string()) return value.get<std::vector<std::string>>();
    return json(value);
}

// Calls execute() with as many parameters as there are.
template <std::size_t... Index>
Rows execute(Operations& log, const std::string& sql, const std::vector<Parameter>& parameters,
             std::index_sequence<Index...>) {
    if (parameters.size() == sizeof...(Index)) return log.execute(sql, parameters[Index]...);
    if constexpr (sizeof...(Index) < MOST_PARAMETERS)
        return execute(log, sql, parameters, std::make_index_sequence<sizeof...(Index) + 1>());
    throw usage_error("a function of so many parameters");
}

// The client begins and ends transactions by itself.
const std::map<std::string, TransactionOptions, std::less<>> BEGINNINGS = {
    {"BEGIN", {}},
    {"BEGIN READ ONLY", {.read_only = true}},
    {"BEGIN ISOLATION LEVEL REPEATABLE READ", {.isolation = Isolation::repeatable_read}},
};

class Player {
  public:
    explicit Player(const std::string& conninfo) : connection_(conninfo) {}

    void play(const Step& step) {
        if (step.contains("call")) {
            call(step["call"].get<std::string>(), step.value("with", Step::object()));
            return;
        }
        const std::string sql = step["sql"].get<std::string>();
        if (const auto beginning = BEGINNINGS.find(sql); beginning != BEGINNINGS.end()) {
            transaction_.emplace(connection_.begin(beginning->second));
        } else if (sql == "COMMIT") {
            std::exchange(transaction_, std::nullopt)->commit();
        } else if (sql == "ROLLBACK") {
            transaction_.reset();
        } else {
            print(log().execute(sql));
        }
    }

  private:
    Operations& log() {
        if (transaction_) return *transaction_;
        return connection_;
    }

    void call(const std::string& function, const Step& arguments) {
        std::string names;
        std::vector<Parameter> parameters;
        for (const auto& [name, value] : arguments.items()) {
            parameters.push_back(parameter(value));
            names += (names.empty() ? "" : ", ") + name + " => $" + std::to_string(parameters.size());
        }
        print(execute(log(), "SELECT * FROM " + function + "(" + names + ")", parameters, {}));
    }

    static void print(const Rows& rows) {
        for (int row = 0; row < rows.size(); row++) {
            for (int column = 0; column < rows.columns(); column++)
                std::cout << (column > 0 ? "|" : "") << (rows.is_null(row, column) ? "(null)" : rows.text(row, column));
            std::cout << "\n";
        }
    }

    Connection connection_;
    std::optional<Transaction> transaction_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) return 2;
    std::ifstream file(arguments[2]);
    Player player(arguments[1]);
    int number = 0;
    for (const Step& step : Step::parse(file)) {
        std::cout << ++number << ". " << step.value("call", step.value("sql", "")) << "\n";
        try {
            player.play(step);
        } catch (const server_error& error) {
            std::cout << "ERROR:  " << error.sqlstate() << ": " << error.what() << "\n";
            if (!error.detail().empty()) std::cout << "DETAIL:  " << error.detail() << "\n";
            if (!error.hint().empty()) std::cout << "HINT:  " << error.hint() << "\n";
            if (!error.constraint().empty())
                std::cout << "TABLE NAME:  " << error.table() << "\nCONSTRAINT NAME:  " << error.constraint() << "\n";
        }
    }
}
